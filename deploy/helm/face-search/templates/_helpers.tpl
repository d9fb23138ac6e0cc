{{/* The metadata of an object: call with (list $ "name"). A service's own objects carry its name as a label. */}}
{{- define "face-search.metadata" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
name: {{ $name }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- if hasKey $root.Values.services $name }}
  app.kubernetes.io/name: {{ $name }}
  {{- end }}
  app.kubernetes.io/part-of: face-search
{{- end }}

{{/* Every setting as YAML: the defaults of deploy/k8s, and over them what `settings` has. An unknown name is an error. */}}
{{- define "face-search.settings" -}}
{{- $settings := (.Files.Get "files/config-map.yaml" | fromYaml).data -}}
{{- range $name, $value := .Values.settings -}}
{{- if not (hasKey $settings $name) -}}
{{- fail (printf "settings.%s is not a setting of the services; the README of the project lists them" $name) -}}
{{- end -}}
{{- $_ := set $settings $name (toString $value) -}}
{{- end -}}
{{- toYaml $settings -}}
{{- end }}

{{/* The TCP port of an address: call with the URL. */}}
{{- define "face-search.port" -}}
{{- $url := urlParse . -}}
{{- regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) | default (ternary "443" "80" (eq $url.scheme "https")) -}}
{{- end }}

{{- define "face-search.secretName" -}}
{{- .Values.existingSecret | default "face-search-secrets" -}}
{{- end }}
