"""The tables of the embedded metadata store; `deploy/postgrest/schema.sql` is their equivalent for PostgreSQL."""

SCHEMA = """
create table if not exists photos (
    photo_id text primary key check (length(photo_id) between 1 and 128),
    collection_id text check (length(collection_id) between 1 and 128),
    image_sha256 text not null,
    width integer check (width > 0),
    height integer check (height > 0),
    detected_at integer,
    created_at integer not null,
    updated_at integer not null,
    lease_token text,
    lease_until integer,
    faces_detected integer not null default 0 check (faces_detected >= 0),
    faces_indexed integer not null default 0 check (faces_indexed between 0 and faces_detected),
    status text not null generated always as (
        case
            when detected_at is null then 'failed'
            when faces_detected = 0 then 'no_faces'
            when faces_indexed = 0 then 'detected'
            when faces_indexed < faces_detected then 'partial'
            else 'indexed'
        end
    ) virtual,
    check ((width is null) = (height is null)),
    check ((width is null) = (detected_at is null)),
    check (lease_until is null or lease_token is not null)
) without rowid;

create index if not exists photos_newest on photos (created_at desc, photo_id);
create index if not exists photos_newest_of_collection on photos (collection_id, created_at desc, photo_id);
create index if not exists photos_newest_of_status on photos (status, created_at desc, photo_id);

create table if not exists faces (
    face_id text primary key,
    photo_id text not null references photos on delete cascade,
    x1 real not null,
    y1 real not null,
    x2 real not null,
    y2 real not null,
    score real not null check (score between 0 and 1),
    landmarks text not null check (json_array_length(landmarks) = 5),
    state text not null check (state in ('detected', 'pending', 'indexed', 'removing')),
    recorded_at integer not null,
    indexed_at integer check (state <> 'indexed' or indexed_at is not null),
    check (x1 >= 0 and y1 >= 0 and x1 <= x2 and y1 <= y2)
) without rowid;

create index if not exists faces_of_photo on faces (photo_id);

create table if not exists removed_faces (
    face_id text primary key,
    photo_id text not null references photos on delete cascade
) without rowid;

create index if not exists removed_faces_of_photo on removed_faces (photo_id);

create table if not exists purged_photos (
    photo_digest text primary key,
    lease_token text not null,
    lease_until integer
) without rowid;

create table if not exists last_audit (
    only_row integer primary key check (only_row = 1),
    finished_at integer not null,
    photos integer not null check (photos >= 0),
    differences text not null
);

create trigger if not exists face_recorded after insert on faces begin
    update photos set
        faces_detected = faces_detected + (new.state <> 'removing'),
        faces_indexed = faces_indexed + (new.state = 'indexed')
    where photo_id = new.photo_id;
end;

create trigger if not exists face_changed after update of state on faces when new.state <> old.state begin
    update photos set
        faces_detected = faces_detected + (new.state <> 'removing') - (old.state <> 'removing'),
        faces_indexed = faces_indexed + (new.state = 'indexed') - (old.state = 'indexed')
    where photo_id = new.photo_id;
end;

create trigger if not exists face_gone after delete on faces begin
    update photos set
        faces_detected = faces_detected - (old.state <> 'removing'),
        faces_indexed = faces_indexed - (old.state = 'indexed')
    where photo_id = old.photo_id;
end;
"""
"""Times are microseconds since 1970, UTC. `lease_token` without `lease_until` names the writer that finished
last, so that it may repeat what it finished. `status` is kept by SQLite, the counts by the triggers."""

ADDED_COLUMNS = (("purged_photos", "lease_until", "integer"),)
"""Columns that files of earlier versions lack: table, column and type."""
