{{/* Sizes and spans as numbers, so that values can be held against each other. */}}

{{/* Bytes (a whole number as text) of what settings and Kubernetes write: 268435456, "256MiB", "1.5Gi", "2G". */}}
{{- define "raft.bytes" -}}
{{- $text := . | toString -}}
{{- if kindIs "float64" . }}{{ $text = . | int64 | toString }}{{ end -}}
{{- $number := regexFind "^ *[0-9]+(\\.[0-9]+)?" $text | trim -}}
{{- $unit := regexReplaceAll "^ *[0-9.]+ *" $text "" | trim | lower | trimSuffix "b" -}}
{{- $factors := dict "" 1 "k" 1000 "m" 1000000 "g" 1000000000 "t" 1000000000000 "ki" 1024 "mi" 1048576 "gi" 1073741824 "ti" 1099511627776 -}}
{{- mulf (float64 $number) (get $factors $unit) | int64 -}}
{{- end -}}

{{/* Bytes for people: in the largest unit of settings that leaves a whole number. */}}
{{- define "raft.showBytes" -}}
{{- $bytes := int64 . -}}
{{- if and (ge $bytes 1073741824) (eq (mod $bytes 1073741824) 0) -}}{{ div $bytes 1073741824 }}GiB
{{- else if and (ge $bytes 1048576) (eq (mod $bytes 1048576) 0) -}}{{ div $bytes 1048576 }}MiB
{{- else if and (ge $bytes 1024) (eq (mod $bytes 1024) 0) -}}{{ div $bytes 1024 }}KiB
{{- else -}}{{ $bytes }}
{{- end -}}
{{- end -}}

{{/* Thousandths of a core: "250m", "2", 0.5. */}}
{{- define "raft.millicores" -}}
{{- $text := . | toString -}}
{{- if hasSuffix "m" $text -}}{{ trimSuffix "m" $text | int64 }}{{- else -}}{{ mulf (float64 $text) 1000 | int64 }}{{- end -}}
{{- end -}}

{{/* The ends of a range of milliseconds such as "500-1000". */}}
{{- define "raft.low" -}}{{ (splitList "-" .) | first | trim | int64 }}{{- end -}}
{{- define "raft.high" -}}{{ (splitList "-" .) | last | trim | int64 }}{{- end -}}

{{/* Bytes of memory that a node needs whose log is full; figures and their origin are beside resources in values.yaml. */}}
{{- define "raft.memoryNeeded" -}}
{{- $log := include "raft.bytes" ((include "raft.settings" . | fromYaml).max_log_bytes | default "256MiB") | int64 -}}
{{- $inflight := include "raft.bytes" ((include "raft.settings" . | fromYaml).inflight_bytes | default "8MiB") | int64 -}}
{{- add 134217728 (mul 14 $log) (mul $inflight (sub (int .Values.replicaCount) 1)) -}}
{{- end -}}

{{/* Bytes of disk that a node needs whose log is full; see persistence in values.yaml. */}}
{{- define "raft.diskNeeded" -}}
{{- $log := include "raft.bytes" ((include "raft.settings" . | fromYaml).max_log_bytes | default "256MiB") | int64 -}}
{{- $segment := include "raft.bytes" ((include "raft.settings" . | fromYaml).segment_bytes | default "16MiB") | int64 -}}
{{- add (mul 4 $log) (mul 2 $segment) -}}
{{- end -}}

{{/* Milliseconds that lifecycle.preStop sleeps before SIGTERM; the grace period has begun by then. */}}
{{- define "raft.preStopMs" -}}
{{- mul 1000 (dig "preStop" "sleep" "seconds" 0 (.Values.lifecycle | default dict) | int64) -}}
{{- end -}}

{{/* Milliseconds from the grace period's begin to the process's end at most: lifecycle.preStop, and Settings.leave_ms_max of the
     node, held against it by a test. */}}
{{- define "raft.leaveMs" -}}
{{- $settings := include "raft.settings" . | fromYaml -}}
{{- add (include "raft.preStopMs" . | int64) (int64 ($settings.leave_wait_ms | default 0)) (int64 ($settings.request_timeout_ms | default 5000)) 5000 -}}
{{- end -}}

{{/* Milliseconds of a span of time as Prometheus writes it, such as 1m30s or 500ms. */}}
{{- define "raft.spanMs" -}}
{{- $sum := 0 -}}
{{- range $unit, $ms := dict "h" 3600000 "m" 60000 "s" 1000 "ms" 1 -}}
{{- range regexFindAll "[0-9]+(ms|[hms])" $ -1 -}}
{{- if eq (regexFind "[hms]+$" .) $unit -}}{{- $sum = add $sum (mul $ms (regexFind "^[0-9]+" . | int64)) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- $sum -}}
{{- end -}}
