{{/* What is in the cluster already, and what an upgrade of it would break or Kubernetes would refuse with a riddle. A
     render without a cluster (helm template) finds nothing and refuses nothing. */}}
{{- define "raft.refuse.upgrade" -}}
{{- $name := include "raft.fullname" . -}}
{{- $there := lookup "apps/v1" "StatefulSet" (include "raft.namespace" .) $name -}}
{{- if $there }}
{{- include "raft.refuse.partition" . }}
{{- include "raft.refuse.immutable" (list . $there) }}
{{- else if .Release.IsUpgrade }}
{{- range $where := uniq (list (include "raft.namespace" .) .Release.Namespace) }}
{{- range (lookup "apps/v1" "StatefulSet" $where "").items }}
{{- if and (eq (dig "labels" "app.kubernetes.io/instance" "" .metadata) $.Release.Name) (eq (dig "labels" "app.kubernetes.io/component" "" .metadata) "node") }}
{{- if eq .metadata.name $name }}
namespaceOverride would make another, empty cluster in namespace {{ include "raft.namespace" $ }}, and {{ $name }} in {{ $where }}, which this release runs now, would be deleted: keep namespaceOverride as it was, or install a second release and copy the data.
{{- else }}
The name {{ $name }} would be that of another, empty cluster, and {{ .metadata.name }}, which this release runs now, would be deleted: keep nameOverride and fullnameOverride as they were, or install a second release and copy the data.
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* A partition of raft-chaos narrows the selector of the chart's own policy, and Helm 4 then fails half-way. Its mark is the label
     of the run. */}}
{{- define "raft.refuse.partition" -}}
{{- $name := printf "%s-peers" (include "raft.fullname" .) -}}
{{- if and .Release.IsUpgrade .Values.networkPolicy.enabled }}
{{- with lookup "networking.k8s.io/v1" "NetworkPolicy" (include "raft.namespace" .) $name }}
{{- with dig "labels" "raft-chaos/run" "" .metadata }}
A partition is under way: run {{ . }} of raft-chaos holds the NetworkPolicy {{ $name }}, and an upgrade would fail half-way and replace pods while some are cut off. Wait until it ends, or take it back with `raft-chaos heal --all`.
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Fields of a StatefulSet that stay as they were made, by the values that they come from; takes (list root StatefulSet). */}}
{{- define "raft.refuse.immutable" -}}
{{- $root := index . 0 -}}
{{- $there := index . 1 -}}
{{- $wanted := merge (dict "storageClass" (include "raft.storageClass" $root) "size" (include "raft.volumeSize" $root)) $root.Values.persistence -}}
{{- $found := dig "spec" "selector" "matchLabels" "app.kubernetes.io/name" "" $there }}
{{- if and $found (ne $found (include "raft.name" $root)) }}
nameOverride would change the label that pods are found by from app.kubernetes.io/name={{ $found }} to {{ include "raft.name" $root }}, and Kubernetes changes no selector: upgrade with --set nameOverride={{ $found }}.
{{- end }}
{{- range dig "spec" "volumeClaimTemplates" list $there }}
{{- if eq .metadata.name "data" }}
{{- $class := "" }}
{{- if hasKey .spec "storageClassName" }}{{ $class = .spec.storageClassName | default "-" }}{{ end }}
{{- $made := dict
      "size" (dig "resources" "requests" "storage" "" .spec)
      "accessMode" (first .spec.accessModes)
      "storageClass" $class
      "labels" (omit (.metadata.labels | default dict) "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component")
      "annotations" (.metadata.annotations | default dict) }}
{{- range $key, $old := $made }}
{{- $new := get $wanted $key }}
{{- $same := eq (toJson $old) (toJson $new) }}
{{- if eq $key "size" }}{{ $same = eq (include "raft.bytes" $old) (include "raft.bytes" $new) }}{{ end }}
{{- if not $same }}
persistence.{{ $key }} {{ include "raft.plain" $new }} differs from the {{ include "raft.plain" $old }} that this release was made with, and Kubernetes changes no claim template: keep {{ include "raft.plain" $old }}, or {{ if eq $key "size" }}enlarge{{ else }}change{{ end }} the claims and recreate the StatefulSet as the chart's README says.
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Text as it is, and "" where it is empty; a map as JSON. */}}
{{- define "raft.plain" -}}
{{- if and (kindIs "string" .) . -}}{{ . }}{{- else -}}{{ toJson . }}{{- end -}}
{{- end -}}
