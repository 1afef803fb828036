{{/* What Prometheus and Grafana find a release by, and what its alarms are rendered from. */}}

{{/* The matchers that select the release's pods: by namespace and name, for no two pods of a namespace have one name, every way
     to scrape pods sets both labels, and the volumes of the pods are found likewise. */}}
{{- define "raft.podMatchers" -}}
namespace="{{ include "raft.namespace" . }}",pod=~"{{ include "raft.fullname" . }}-[0-9]+"
{{- end -}}

{{- define "raft.claimMatchers" -}}
namespace="{{ include "raft.namespace" . }}",persistentvolumeclaim=~"data-{{ include "raft.fullname" . }}-[0-9]+"
{{- end -}}

{{/* A text of files/ with its placeholders filled in; takes (list root text). */}}
{{- define "raft.ofRelease" -}}
{{- $root := index . 0 -}}
{{- $rules := $root.Values.monitoring.rules -}}
{{- $seconds := dict "BACKUP" (mul 3600 (int64 $rules.backupHours)) "CERTIFICATE" (mul 86400 (int64 $rules.certificateDays)) -}}
{{- $text := index . 1 | replace "PODS" (include "raft.podMatchers" $root) | replace "CLAIMS" (include "raft.claimMatchers" $root) -}}
{{- range $what, $count := $seconds -}}{{- $text = $text | replace (printf "%s_SECONDS" $what) (toString $count) -}}{{- end -}}
{{- $text = $text | replace "BACKUPS" (ternary "1" "0" $root.Values.backup.enabled) -}}
{{- $text | replace "VOTERS" (toString $root.Values.replicaCount) -}}
{{- end -}}

{{/* Labels of an object of monitoring: the chart's, and those that make an operator of Prometheus or Grafana pick it up;
     takes (list root labels). */}}
{{- define "raft.monitoringLabels" -}}
{{ include "raft.labels" (list (index . 0) "monitoring") }}
{{- with index . 1 }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* How a monitor scrapes; takes (list root values), those of podMonitor or serviceMonitor. Targets are pods in both. */}}
{{- define "raft.scrape" -}}
{{- $root := index . 0 -}}
{{- with index . 1 -}}
- port: {{ $root.Values.operations.enabled | ternary "operations" "client" }}
  path: /metrics
  scheme: {{ include "raft.scrapeScheme" $root }}
  {{- with include "raft.tlsOfScrapes" $root }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- if and $root.Values.auth.existingSecret (not $root.Values.operations.enabled) }}
  authorization:
    credentials: {name: {{ $root.Values.auth.clientsSecret | quote }}, key: read}
  {{- end }}
  {{- with .interval }}
  interval: {{ . | quote }}
  {{- end }}
  {{- with .scrapeTimeout }}
  scrapeTimeout: {{ . | quote }}
  {{- end }}
{{- end -}}
{{- end -}}
