-- The metadata of the face search: photos, their faces, and how far the work on each has come.
--
-- Apply with `psql -v ON_ERROR_STOP=1 -f schema.sql`, as often as you like: what is there already stays as it is.
-- PostgreSQL 14 or newer; PostgREST 12 to 14 with `face_search` among its `db-schemas`. README.md says the rest.
--
-- Leases. A photo is free when `lease_until` is null or past. Finishing nulls `lease_until` and keeps the token:
-- until another writer comes, the same one may repeat what it finished, and finds nothing left to do. So every
-- function below can be repeated with the same token when its answer was lost.
--
-- Errors. FS001 busy, FS002 lease lost, FS003 no such photo, FS004 no such face (detail: which), FS005 another
-- collection (detail: which), FS006 another image. PostgREST passes the code on in the body, with status 400.

begin;
set local client_min_messages = warning;

do $$
begin
    if not exists (select from pg_roles where rolname = 'face_search') then
        create role face_search nologin;
    end if;
    if exists (select from pg_roles where rolname = 'authenticator')
        and not pg_has_role('authenticator', 'face_search', 'member')
    then
        grant face_search to authenticator;
    end if;
    -- Nothing here takes a second; what takes this long was abandoned by its client.
    if not exists (
        select from pg_db_role_setting s join pg_roles r on r.oid = s.setrole
        where r.rolname = 'face_search' and s.setdatabase = 0 and 'statement_timeout=15s' = any(s.setconfig)
    ) then
        alter role face_search set statement_timeout = '15s';
    end if;
exception when insufficient_privilege then
    -- As where an administrator makes the roles: then these three are the administrator's to do.
    if not exists (select from pg_roles where rolname = 'face_search') then
        raise;
    end if;
    raise warning 'not allowed to set up role face_search; see README.md for what an administrator has to do';
end
$$;

create schema if not exists face_search;
set local search_path = face_search;

-- Tables ------------------------------------------------------------------------------------------------------------

create table if not exists photos (
    photo_id text collate "C" primary key check (photo_id ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$'),
    collection_id text collate "C" check (collection_id ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$'),
    image_sha256 text not null check (image_sha256 ~ '^[0-9a-f]{64}$'),
    width integer check (width > 0),
    height integer check (height > 0),
    detected_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    lease_token text check (length(lease_token) between 1 and 64),
    lease_until timestamptz,
    -- Kept by the triggers on faces.
    faces_detected integer not null default 0,
    faces_indexed integer not null default 0,
    faces_removing integer not null default 0,
    status text not null generated always as (
        case
            when detected_at is null then 'failed'
            when faces_detected = 0 then 'no_faces'
            when faces_indexed = 0 then 'detected'
            when faces_indexed < faces_detected then 'partial'
            else 'indexed'
        end
    ) stored,
    constraint size_is_whole check ((width is null) = (height is null)),
    constraint size_comes_with_detection check ((width is null) = (detected_at is null)),
    constraint lease_names_its_holder check (lease_until is null or lease_token is not null),
    constraint counts_are_possible
        check (faces_indexed >= 0 and faces_indexed <= faces_detected and faces_removing >= 0)
);

create table if not exists faces (
    face_id text collate "C" primary key
        check (face_id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'),
    photo_id text collate "C" not null references photos on delete cascade,
    bbox float8[] not null,
    score float8 not null check (score between 0 and 1),
    landmarks float8[] not null,
    state text not null check (state in ('detected', 'pending', 'indexed', 'removing')),
    recorded_at timestamptz not null,
    indexed_at timestamptz,
    constraint bbox_is_ordered check (
        array_dims(bbox) = '[1:4]' and array_position(bbox, null) is null
        and 0 <= bbox[1] and bbox[1] <= bbox[3] and bbox[3] < 'infinity'
        and 0 <= bbox[2] and bbox[2] <= bbox[4] and bbox[4] < 'infinity'
    ),
    constraint landmarks_are_five_points
        check (array_dims(landmarks) = '[1:5][1:2]' and num_nulls(variadic landmarks) = 0),
    constraint indexed_has_a_time check (state <> 'indexed' or indexed_at is not null)
);

-- The faces that a photo once had, so that removing one of them again is no error.
create table if not exists removed_faces (
    face_id text collate "C" primary key,
    photo_id text collate "C" not null references photos on delete cascade
);

-- All that a purge leaves: the SHA-256 of the id, and the lease that purged it, or that removes its image again.
create table if not exists purged_photos (
    photo_digest bytea primary key check (length(photo_digest) = 32),
    lease_token text not null
);
alter table purged_photos add column if not exists lease_until timestamptz;

-- The result of the last audit, for the metrics of image-vectorizer; differences: {"kind": n}.
create table if not exists last_audit (
    only_row boolean primary key default true check (only_row),
    finished_at timestamptz not null,
    photos bigint not null check (photos >= 0),
    differences jsonb not null check (jsonb_typeof(differences) = 'object')
);

-- How many photos there are, per collection ('' for none) and status: the sum over the shards. Each connection
-- adds to a shard of its own, so that writers do not queue for one row; a shard alone may be negative.
create table if not exists photo_counts (
    collection_id text collate "C" not null,
    status text collate "C" not null,
    shard smallint not null,
    photos bigint not null,
    primary key (collection_id, status, shard)
) with (fillfactor = 50);

create index if not exists photos_newest on photos (created_at desc, photo_id);
create index if not exists photos_newest_of_status on photos (status, created_at desc, photo_id);
create index if not exists photos_newest_of_collection on photos (collection_id, created_at desc, photo_id);
create index if not exists photos_newest_of_both on photos (collection_id, status, created_at desc, photo_id);
create index if not exists photos_with_faces on photos (photo_id) where faces_detected + faces_removing > 0;
create index if not exists photos_with_faces_of_collection on photos (collection_id, photo_id)
    where faces_detected + faces_removing > 0;
create index if not exists photos_leased on photos (lease_until) where lease_until is not null;
create index if not exists faces_of_photo on faces (photo_id);
create index if not exists removed_faces_of_photo on removed_faces (photo_id);

-- Counting ----------------------------------------------------------------------------------------------------------

create or replace function count_faces() returns trigger
language plpgsql set search_path = face_search, pg_temp as $$
begin
    if tg_op = 'INSERT' then
        update photos p set
            faces_detected = p.faces_detected + d.detected,
            faces_indexed = p.faces_indexed + d.indexed,
            faces_removing = p.faces_removing + d.removing
        from (
            select photo_id, count(*) filter (where state <> 'removing') as detected,
                count(*) filter (where state = 'indexed') as indexed,
                count(*) filter (where state = 'removing') as removing
            from came group by photo_id
        ) d
        where p.photo_id = d.photo_id;
    elsif tg_op = 'DELETE' then
        update photos p set
            faces_detected = p.faces_detected - d.detected,
            faces_indexed = p.faces_indexed - d.indexed,
            faces_removing = p.faces_removing - d.removing
        from (
            select photo_id, count(*) filter (where state <> 'removing') as detected,
                count(*) filter (where state = 'indexed') as indexed,
                count(*) filter (where state = 'removing') as removing
            from went group by photo_id
        ) d
        where p.photo_id = d.photo_id;
    else
        update photos p set
            faces_detected = p.faces_detected + d.detected,
            faces_indexed = p.faces_indexed + d.indexed,
            faces_removing = p.faces_removing + d.removing
        from (
            select photo_id, coalesce(sum(sign) filter (where state <> 'removing'), 0) as detected,
                coalesce(sum(sign) filter (where state = 'indexed'), 0) as indexed,
                coalesce(sum(sign) filter (where state = 'removing'), 0) as removing
            from (
                select photo_id, state, 1 as sign from came
                union all
                select photo_id, state, -1 from went
            ) as changes
            group by photo_id
        ) d
        where p.photo_id = d.photo_id and (d.detected <> 0 or d.indexed <> 0 or d.removing <> 0);
    end if;
    return null;
end
$$;

create or replace trigger faces_came after insert on faces
    referencing new table as came for each statement execute function count_faces();
create or replace trigger faces_changed after update on faces
    referencing old table as went new table as came for each statement execute function count_faces();
create or replace trigger faces_went after delete on faces
    referencing old table as went for each statement execute function count_faces();

create or replace function add_to_photo_counts(p_collection_id text, p_status text, p_photos bigint) returns void
language sql set search_path = face_search, pg_temp as $$
    insert into photo_counts as c (collection_id, status, shard, photos)
    values (coalesce(p_collection_id, ''), p_status, pg_backend_pid() % 32, p_photos)
    on conflict (collection_id, status, shard) do update set photos = c.photos + excluded.photos
$$;

create or replace function count_photos() returns trigger
language plpgsql set search_path = face_search, pg_temp as $$
begin
    -- Always in the same order, so that two writers of one shard cannot wait for each other.
    if tg_op = 'INSERT' then
        perform add_to_photo_counts(collection_id, status, photos)
        from (select collection_id, status, count(*) as photos from came group by 1, 2 order by 1, 2) as changes;
    elsif tg_op = 'DELETE' then
        perform add_to_photo_counts(collection_id, status, -photos)
        from (select collection_id, status, count(*) as photos from went group by 1, 2 order by 1, 2) as changes;
    else
        perform add_to_photo_counts(collection_id, status, photos)
        from (
            select collection_id, status, sum(sign) as photos
            from (
                select collection_id, status, 1 as sign from came
                union all
                select collection_id, status, -1 from went
            ) as moves
            group by 1, 2 having sum(sign) <> 0 order by 1, 2
        ) as changes;
    end if;
    return null;
end
$$;

create or replace trigger photos_came after insert on photos
    referencing new table as came for each statement execute function count_photos();
create or replace trigger photos_changed after update on photos
    referencing old table as went new table as came for each statement execute function count_photos();
create or replace trigger photos_went after delete on photos
    referencing old table as went for each statement execute function count_photos();

-- Reads -------------------------------------------------------------------------------------------------------------

create or replace view photo_records as
select
    p.photo_id, p.collection_id, p.image_sha256, p.width, p.height,
    coalesce((
        select jsonb_agg(
            jsonb_build_object(
                'face_id', f.face_id, 'bbox', f.bbox, 'score', f.score,
                'landmarks', f.landmarks, 'state', f.state
            )
            order by f.score desc, f.face_id
        )
        from faces f where f.photo_id = p.photo_id
    ), '[]') as faces
from photos p;

create or replace view photos_of_faces as
select f.face_id as of_face_id, r.* from faces f join photo_records r using (photo_id);

-- ISO 8601 with microseconds, always six digits, in UTC.
create or replace function iso(moment timestamptz) returns text
language sql stable as $$
    select to_char(moment at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')
$$;

create or replace function summary_of(photo photos) returns jsonb
language sql stable set search_path = face_search, pg_temp as $$
    select jsonb_build_object(
        'photo_id', photo.photo_id, 'collection_id', photo.collection_id, 'status', photo.status,
        'faces_detected', photo.faces_detected, 'faces_indexed', photo.faces_indexed,
        'created_at', iso(photo.created_at), 'updated_at', iso(photo.updated_at)
    )
$$;

create or replace function clock() returns text
language sql volatile security definer set search_path = face_search, pg_temp as $$
    select iso(clock_timestamp())
$$;

create or replace function scan_photos(p_after text, p_limit integer) returns jsonb
language sql stable security definer set search_path = face_search, pg_temp as $$
    select coalesce(jsonb_agg(to_jsonb(r) order by r.photo_id), '[]')
    from (select * from photo_records where photo_id > p_after order by photo_id limit p_limit) r
$$;

-- {"summary": a row of list_photos, "record": a row of photo_records}, of one moment; null without such a photo.
create or replace function photo_details(p_photo_id text) returns jsonb
language sql stable security definer set search_path = face_search, pg_temp as $$
    select jsonb_build_object('summary', summary_of(p), 'record', to_jsonb(r))
    from photos p join photo_records r using (photo_id) where photo_id = p_photo_id
$$;

-- {"total": n, "items": [...]}, newest first, ties by photo_id. The total is a sum of counters, and a page in the
-- second half is counted off from the end, so that no page walks over more than half of the index.
create or replace function list_photos(
    p_collection_id text, p_status text, p_limit integer, p_offset bigint
) returns jsonb
language plpgsql stable security definer set search_path = face_search, pg_temp as $$
declare
    matching bigint;
    -- The rows of the page: how many, and how many lie before it, seen from the end that is nearer.
    wanted bigint;
    skipped bigint;
    backwards boolean;
    ordering text;
    page jsonb;
begin
    select coalesce(sum(photos), 0) into matching from photo_counts c
    where (p_collection_id is null or c.collection_id = p_collection_id) and (p_status is null or c.status = p_status);

    wanted := greatest(least(p_limit, matching - p_offset), 0);
    backwards := p_offset > matching / 2;
    skipped := case when backwards then greatest(matching - p_offset - wanted, 0) else p_offset end;
    ordering := case when backwards then 'created_at, photo_id desc' else 'created_at desc, photo_id' end;
    if wanted = 0 then
        return jsonb_build_object('total', matching, 'items', '[]'::jsonb);
    end if;
    -- The condition is made of constants, so that each listing gets the plan of its own index. The ids of the
    -- page come out of the index alone; only the page's rows are then fetched.
    execute format(
        'select jsonb_agg(summary_of(photos) order by created_at desc, photo_id)'
        ' from photos where photo_id in (select photo_id from photos where %s order by %s limit %s offset %s)',
        concat_ws(
            ' and ', 'true',
            'collection_id = ' || quote_literal(p_collection_id), 'status = ' || quote_literal(p_status)
        ),
        ordering, wanted, skipped
    ) into page;
    return jsonb_build_object('total', matching, 'items', coalesce(page, '[]'));
end
$$;

-- {"photos": {status: n}, "audit": {"finished_at", "photos", "differences"} or null}
create or replace function overview() returns jsonb
language sql stable security definer set search_path = face_search, pg_temp as $$
    select jsonb_build_object(
        'photos', (
            select coalesce(jsonb_object_agg(status, photos), '{}')
            from (select status, sum(photos) as photos from photo_counts group by 1) counted
        ),
        'audit', (
            select jsonb_build_object(
                'finished_at', iso(finished_at), 'photos', photos, 'differences', differences
            )
            from last_audit
        )
    )
$$;

-- Leases ------------------------------------------------------------------------------------------------------------

create or replace function photo_record(p_photo_id text) returns jsonb
language sql stable set search_path = face_search, pg_temp as $$
    select to_jsonb(r) from photo_records r where r.photo_id = p_photo_id
$$;

create or replace function is_held(lease_token text, lease_until timestamptz, p_lease_token text) returns boolean
language sql as $$
    select lease_until is not null and lease_until > clock_timestamp() and lease_token <> p_lease_token
$$;

create or replace function take_lease(p_photo_id text, p_lease_token text, p_lease_seconds float8) returns void
language sql set search_path = face_search, pg_temp as $$
    update photos set
        lease_token = p_lease_token,
        lease_until = clock_timestamp() + make_interval(secs => p_lease_seconds)
    where photo_id = p_photo_id
$$;

-- Locks the row and refuses a photo that another writer holds. Null fields when there is no such photo.
create or replace function free_photo(p_photo_id text, p_lease_token text) returns photos
language plpgsql set search_path = face_search, pg_temp as $$
declare
    photo photos;
begin
    select * into photo from photos where photo_id = p_photo_id for update;
    if found and is_held(photo.lease_token, photo.lease_until, p_lease_token) then
        raise exception using errcode = 'FS001', message = 'another writer holds the photo';
    end if;
    return photo;
end
$$;

-- Locks the row and refuses a writer whose lease was taken over, released, or is gone with the photo.
create or replace function require_lease(p_photo_id text, p_lease_token text) returns void
language plpgsql set search_path = face_search, pg_temp as $$
begin
    perform from photos where photo_id = p_photo_id and lease_token = p_lease_token for update;
    if not found then
        raise exception using errcode = 'FS002', message = 'the lease of the photo is lost';
    end if;
end
$$;

-- A photo without a collection gains the one that is given; its vectors carry none yet, so they are due again.
create or replace function join_collection(photo photos, p_collection_id text) returns void
language plpgsql set search_path = face_search, pg_temp as $$
begin
    if p_collection_id is null or p_collection_id = photo.collection_id then
        return;
    end if;
    if photo.collection_id is not null then
        raise exception using
            errcode = 'FS005', message = 'the photo belongs to another collection', detail = photo.collection_id;
    end if;
    update faces set state = 'pending' where photo_id = photo.photo_id and state = 'indexed';
    update photos set collection_id = p_collection_id, updated_at = clock_timestamp()
    where photo_id = photo.photo_id;
end
$$;

-- Locks the mark of a purge and refuses one that another writer holds. Null fields when there is none.
create or replace function free_purge(p_photo_id text, p_lease_token text) returns purged_photos
language plpgsql set search_path = face_search, pg_temp as $$
declare
    purge purged_photos;
begin
    select * into purge from purged_photos
    where photo_digest = sha256(convert_to(p_photo_id, 'UTF8')) for update;
    if found and is_held(purge.lease_token, purge.lease_until, p_lease_token) then
        raise exception using errcode = 'FS001', message = 'another writer holds the photo';
    end if;
    return purge;
end
$$;

create or replace function forget_purge(p_photo_id text, p_lease_token text) returns void
language plpgsql set search_path = face_search, pg_temp as $$
declare
    purge purged_photos := free_purge(p_photo_id, p_lease_token);
begin
    delete from purged_photos where photo_digest = purge.photo_digest;
end
$$;

-- Detection ---------------------------------------------------------------------------------------------------------

create or replace function begin_detection(
    p_photo_id text, p_collection_id text, p_image_sha256 text, p_lease_token text, p_lease_seconds float8
) returns jsonb
language plpgsql security definer set search_path = face_search, pg_temp as $$
declare
    photo photos;
begin
    loop
        photo := free_photo(p_photo_id, p_lease_token);
        exit when photo.photo_id is not null;
        insert into photos (photo_id, collection_id, image_sha256, created_at, updated_at)
        values (p_photo_id, p_collection_id, p_image_sha256, clock_timestamp(), clock_timestamp())
        on conflict (photo_id) do nothing;
        if found then
            perform forget_purge(p_photo_id, p_lease_token);
        end if;
    end loop;
    if photo.image_sha256 <> p_image_sha256 then
        raise exception using errcode = 'FS006', message = 'the photo_id already names another image';
    end if;
    perform join_collection(photo, p_collection_id);
    perform take_lease(p_photo_id, p_lease_token, p_lease_seconds);
    return photo_record(p_photo_id);
end
$$;

-- p_faces: [{"face_id", "bbox": [x1, y1, x2, y2], "score", "landmarks": [[x, y], five times]}]
create or replace function finish_detection(
    p_photo_id text, p_width integer, p_height integer, p_faces jsonb, p_lease_token text
) returns jsonb
language plpgsql security definer set search_path = face_search, pg_temp as $$
declare
    given integer;
    recorded integer;
begin
    perform require_lease(p_photo_id, p_lease_token);
    select count(distinct f ->> 'face_id') into given from jsonb_array_elements(p_faces) f;
    insert into faces as old (face_id, photo_id, bbox, score, landmarks, state, recorded_at)
    select distinct on (f ->> 'face_id')
        f ->> 'face_id', p_photo_id, translate(f ->> 'bbox', '[]', '{}')::float8[], (f ->> 'score')::float8,
        translate(f ->> 'landmarks', '[]', '{}')::float8[], 'detected', clock_timestamp()
    from jsonb_array_elements(p_faces) with ordinality as faces_given (f, place)
    order by f ->> 'face_id', place desc
    on conflict (face_id) do update set
        bbox = excluded.bbox, score = excluded.score, landmarks = excluded.landmarks,
        recorded_at = case old.state when 'removing' then excluded.recorded_at else old.recorded_at end,
        indexed_at = case old.state when 'removing' then null else old.indexed_at end,
        state = case old.state when 'removing' then 'detected' else old.state end
    where old.photo_id = excluded.photo_id;
    get diagnostics recorded = row_count;
    if recorded <> given then
        raise exception using errcode = '23505', message = 'a face belongs to another photo';
    end if;
    update photos set
        width = p_width, height = p_height, detected_at = clock_timestamp(), updated_at = clock_timestamp(),
        lease_until = null
    where photo_id = p_photo_id;
    return photo_record(p_photo_id);
end
$$;

-- Indexing ----------------------------------------------------------------------------------------------------------

create or replace function begin_indexing(
    p_photo_id text, p_face_ids text[], p_collection_id text, p_lease_token text, p_lease_seconds float8
) returns jsonb
language plpgsql security definer set search_path = face_search, pg_temp as $$
declare
    photo photos;
    missing text;
begin
    photo := free_photo(p_photo_id, p_lease_token);
    if photo.photo_id is null then
        raise exception using errcode = 'FS003', message = 'there is no such photo';
    end if;
    perform join_collection(photo, p_collection_id);
    select face_id into missing from unnest(p_face_ids) with ordinality as named (face_id, place)
    where not exists (
        select from faces f where f.face_id = named.face_id and f.photo_id = p_photo_id and f.state <> 'removing'
    )
    order by place limit 1;
    if found then
        raise exception using errcode = 'FS004', message = 'there is no such face', detail = missing;
    end if;
    update faces set state = 'pending'
    where photo_id = p_photo_id and face_id = any(p_face_ids) and state = 'detected';
    perform take_lease(p_photo_id, p_lease_token, p_lease_seconds);
    return photo_record(p_photo_id);
end
$$;

-- One transaction, so that no other writer takes the photo between its detection and its indexing.
create or replace function finish_detection_and_begin_indexing(
    p_photo_id text, p_width integer, p_height integer, p_faces jsonb, p_face_ids text[],
    p_lease_token text, p_lease_seconds float8
) returns jsonb
language plpgsql security definer set search_path = face_search, pg_temp as $$
begin
    perform finish_detection(p_photo_id, p_width, p_height, p_faces, p_lease_token);
    return begin_indexing(p_photo_id, p_face_ids, null, p_lease_token, p_lease_seconds);
end
$$;

create or replace function finish_indexing(p_photo_id text, p_face_ids text[], p_lease_token text) returns boolean
language plpgsql security definer set search_path = face_search, pg_temp as $$
begin
    perform require_lease(p_photo_id, p_lease_token);
    update faces set state = 'indexed', indexed_at = clock_timestamp()
    where photo_id = p_photo_id and face_id = any(p_face_ids) and state = 'pending';
    update photos set updated_at = clock_timestamp(), lease_until = null where photo_id = p_photo_id;
    return true;
end
$$;

-- Removal -----------------------------------------------------------------------------------------------------------

create or replace function begin_removal_of(
    p_photo_ids text[], p_lease_token text, p_lease_seconds float8
) returns void
language sql set search_path = face_search, pg_temp as $$
    update photos set
        updated_at = case when faces_detected > 0 then clock_timestamp() else updated_at end,
        lease_token = p_lease_token,
        lease_until = clock_timestamp() + make_interval(secs => p_lease_seconds)
    where photo_id = any(p_photo_ids);
    update faces set state = 'removing' where photo_id = any(p_photo_ids) and state <> 'removing';
$$;

-- False, and no lease, when the photo was purged before.
create or replace function begin_removal(
    p_photo_id text, p_lease_token text, p_lease_seconds float8
) returns boolean
language plpgsql security definer set search_path = face_search, pg_temp as $$
declare
    photo photos;
begin
    photo := free_photo(p_photo_id, p_lease_token);
    if photo.photo_id is not null then
        perform begin_removal_of(array[p_photo_id], p_lease_token, p_lease_seconds);
        return true;
    end if;
    perform from purged_photos where photo_digest = sha256(convert_to(p_photo_id, 'UTF8'));
    if not found then
        raise exception using errcode = 'FS003', message = 'there is no such photo';
    end if;
    return false;
end
$$;

-- The photo, with the faces that are being removed; null, and no lease, when it was purged before.
create or replace function begin_face_removal(
    p_photo_id text, p_face_id text, p_lease_token text, p_lease_seconds float8
) returns jsonb
language plpgsql security definer set search_path = face_search, pg_temp as $$
declare
    photo photos;
begin
    photo := free_photo(p_photo_id, p_lease_token);
    if photo.photo_id is null then
        perform from purged_photos where photo_digest = sha256(convert_to(p_photo_id, 'UTF8'));
        if not found then
            raise exception using errcode = 'FS003', message = 'there is no such photo';
        end if;
        return null;
    end if;
    update faces set state = 'removing' where face_id = p_face_id and photo_id = p_photo_id;
    if not found then
        perform from removed_faces where face_id = p_face_id and photo_id = p_photo_id;
        if not found then
            raise exception using errcode = 'FS004', message = 'there is no such face', detail = p_face_id;
        end if;
    end if;
    perform take_lease(p_photo_id, p_lease_token, p_lease_seconds);
    return photo_record(p_photo_id);
end
$$;

-- {"photo_ids": [...], "busy": n}
create or replace function begin_removals(
    p_collection_id text, p_until timestamptz, p_limit integer, p_lease_token text, p_lease_seconds float8
) returns jsonb
language plpgsql security definer set search_path = face_search, pg_temp as $$
declare
    matching text := concat_ws(
        ' and ', 'faces_detected + faces_removing > 0', 'collection_id = ' || quote_literal(p_collection_id),
        '(faces_removing > 0 or exists (select from faces f where f.photo_id = p.photo_id'
        ' and least(f.recorded_at, f.indexed_at) <= $1))'
    );
    begun text[];
    others bigint;
begin
    -- Rows are locked in the order of their ids, here and in finish_removals, so that two of these cannot wait
    -- for each other.
    execute format(
        'select coalesce(array_agg(photo_id), ''{}'') from ('
        ' select photo_id from photos p where %s and not is_held(lease_token, lease_until, $2)'
        ' order by photo_id limit $3 for update) free', matching
    ) into begun using p_until, p_lease_token, p_limit;
    perform begin_removal_of(begun, p_lease_token, p_lease_seconds);
    -- After a batch that is not full, whatever still matches was held when its turn came, even if it is free by
    -- now: nothing may slip through between the two statements.
    execute format(
        'select count(*) from photos p where %s and lease_token is distinct from $2'
        ' and ($3 or (lease_until is not null and lease_until > clock_timestamp()))', matching
    ) into others using p_until, p_lease_token, cardinality(begun) < p_limit;
    return jsonb_build_object('photo_ids', begun, 'busy', others);
end
$$;

-- {"faces_removed": n, "lost": [...]}. What is still held is finished whatever is lost, so this is no error here.
create or replace function finish_removals(p_photo_ids text[], p_purge boolean, p_lease_token text) returns jsonb
language plpgsql security definer set search_path = face_search, pg_temp as $$
declare
    held text[];
    removed bigint;
    lost text[];
begin
    select coalesce(array_agg(photo_id), '{}') into held from (
        select photo_id from photos where photo_id = any(p_photo_ids) and lease_token = p_lease_token
        order by photo_id for update
    ) locked;
    insert into removed_faces (face_id, photo_id)
    select face_id, photo_id from faces where photo_id = any(held) and state = 'removing' order by face_id
    on conflict do nothing;
    delete from faces where photo_id = any(held) and state = 'removing';
    get diagnostics removed = row_count;
    if p_purge then
        insert into purged_photos (photo_digest, lease_token)
        select sha256(convert_to(photo_id, 'UTF8')), p_lease_token from unnest(held) photo_id order by 1
        on conflict (photo_digest) do update set lease_token = excluded.lease_token, lease_until = null;
        delete from photos where photo_id = any(held);
        update purged_photos set lease_until = null
        where lease_token = p_lease_token and lease_until is not null and photo_digest in (
            select sha256(convert_to(photo_id, 'UTF8')) from unnest(p_photo_ids) photo_id
        );
    else
        update photos set updated_at = clock_timestamp(), lease_until = null where photo_id = any(held);
    end if;
    select coalesce(array_agg(photo_id), '{}') into lost from unnest(p_photo_ids) photo_id
    where photo_id <> all(held) and not exists (
        select from purged_photos d
        where d.photo_digest = sha256(convert_to(photo_id, 'UTF8')) and d.lease_token = p_lease_token
    );
    return jsonb_build_object('faces_removed', removed, 'lost', lost);
end
$$;

create or replace function purged(p_photo_ids text[]) returns text[]
language sql stable security definer set search_path = face_search, pg_temp as $$
    select coalesce(array_agg(photo_id order by photo_id), '{}') from unnest(p_photo_ids) photo_id
    where exists (select from purged_photos d where d.photo_digest = sha256(convert_to(photo_id, 'UTF8')))
$$;

-- False, and no lease, when the photo is recorded or was never purged. The mark is locked before the photo is looked
-- for: begin_detection inserts the photo before it locks the mark, so one of the two sees the other.
create or replace function begin_image_removal(
    p_photo_id text, p_lease_token text, p_lease_seconds float8
) returns boolean
language plpgsql security definer set search_path = face_search, pg_temp as $$
declare
    purge purged_photos := free_purge(p_photo_id, p_lease_token);
begin
    perform from photos where photo_id = p_photo_id;
    if found or purge.photo_digest is null then
        return false;
    end if;
    update purged_photos set
        lease_token = p_lease_token,
        lease_until = clock_timestamp() + make_interval(secs => p_lease_seconds)
    where photo_digest = purge.photo_digest;
    return true;
end
$$;

create or replace function release(p_photo_id text, p_lease_token text) returns boolean
language plpgsql security definer set search_path = face_search, pg_temp as $$
begin
    update photos set lease_token = null, lease_until = null
    where photo_id = p_photo_id and lease_token = p_lease_token and lease_until is not null;
    if found then
        return true;
    end if;
    update purged_photos set lease_until = null
    where photo_digest = sha256(convert_to(p_photo_id, 'UTF8')) and lease_token = p_lease_token
        and lease_until is not null;
    return found;
end
$$;

-- The audit ---------------------------------------------------------------------------------------------------------

create or replace function record_audit(p_photos bigint, p_differences jsonb) returns boolean
language plpgsql security definer set search_path = face_search, pg_temp as $$
begin
    insert into last_audit (finished_at, photos, differences)
    values (clock_timestamp(), p_photos, p_differences)
    on conflict (only_row) do update set
        finished_at = excluded.finished_at, photos = excluded.photos, differences = excluded.differences;
    return true;
end
$$;

-- Rights: the two views and the functions of the store, nothing else ------------------------------------------------

revoke all on all tables in schema face_search from public, face_search;
revoke all on all functions in schema face_search from public, face_search;
grant usage on schema face_search to face_search;
grant select on photo_records, photos_of_faces to face_search;
grant execute on function
    clock(), photo_details(text), scan_photos(text, integer), list_photos(text, text, integer, bigint),
    begin_detection(text, text, text, text, float8), finish_detection(text, integer, integer, jsonb, text),
    finish_detection_and_begin_indexing(text, integer, integer, jsonb, text[], text, float8),
    begin_indexing(text, text[], text, text, float8), finish_indexing(text, text[], text),
    begin_removal(text, text, float8), begin_face_removal(text, text, text, float8), begin_removals(text, timestamptz, integer, text, float8),
    finish_removals(text[], boolean, text), purged(text[]), begin_image_removal(text, text, float8),
    release(text, text), overview(), record_audit(bigint, jsonb)
to face_search;

notify pgrst, 'reload schema';
notify pgrst, 'reload config';
commit;
