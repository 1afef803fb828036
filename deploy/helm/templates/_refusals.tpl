{{/* What makes no sense is refused before anything is made: one sentence each with what, where and the cure. Types,
     single bounds and unknown keys are values.schema.json's; here is what takes more than one value to see, and what a
     schema could only refuse with a regular expression. */}}

{{- define "raft.refuse" -}}
{{- include "raft.fail" (include "raft.refuse.forms" .) -}}
{{- $found := "" -}}
{{- range list "parent" "keys" "names" "settings" "timing" "sizes" "probes" "pod" "service" "outside" "monitoring" "tls" "auth" "keeping" "upgrade" -}}
{{- $found = printf "%s\n%s" $found (include (printf "raft.refuse.%s" .) $) -}}
{{- end -}}
{{- include "raft.fail" $found -}}
{{- end -}}

{{/* Ends the render with these sentences, one per line, if there are any. */}}
{{- define "raft.fail" -}}
{{- $told := list -}}
{{- range splitList "\n" . -}}{{- with trim . -}}{{- $told = append $told . -}}{{- end -}}{{- end -}}
{{- with $told -}}{{- fail (printf "\n  - %s" (join "\n  - " .)) -}}{{- end -}}
{{- end -}}

{{/* A value as it stands in a sentence, which is one line. */}}
{{- define "raft.shown" -}}{{- toString . | replace "\n" "\\n" | default "\"\"" -}}{{- end -}}

{{/* What cannot be read as a size, a range or a name: nothing can be held against it, so these are said by themselves. */}}
{{- define "raft.refuse.forms" -}}
{{- $settings := include "raft.settings" . | fromYaml -}}
{{- range $key, $_ := include "raft.sizeBounds" . | fromYaml }}
{{- $value := get $settings $key }}
{{- if and $value (kindIs "string" $value) (not (regexMatch "^[0-9]{1,19} *([KMGkmg][iI][bB])?$" $value)) }}
settings.{{ $key }} {{ include "raft.shown" $value }} is no size of raft-node: write a whole number of bytes, or one with KiB, MiB or GiB, such as 256MiB.
{{- end }}
{{- end }}
{{- with $settings.election_timeout_ms }}
{{- if not (regexMatch "^ *[0-9]{1,9} *- *[0-9]{1,9} *$" (toString .)) }}
settings.election_timeout_ms {{ include "raft.shown" . }} is no range, and a timeout that is always the same would split every vote: write both ends in milliseconds, such as 500-1000.
{{- end }}
{{- end }}
{{- $sizes := dict "persistence.size" (include "raft.volumeSize" .) -}}
{{- $resources := include "raft.resources" . | fromYaml -}}
{{- range $which := list "requests" "limits" }}
{{- $of := get $resources $which | default dict }}
{{- $_ := set $sizes (printf "resources.%s.memory" $which) (get $of "memory") }}
{{- if and (kindIs "string" $of.cpu) (not (regexMatch "^([0-9]+m|[0-9]+(\\.[0-9]+)?)$" $of.cpu)) }}
resources.{{ $which }}.cpu {{ include "raft.shown" $of.cpu }} is no amount of CPU: write cores or thousandths of one, such as 0.5 or 500m.
{{- end }}
{{- end }}
{{- range $key, $value := $sizes }}
{{- if and (kindIs "string" $value) $value (not (regexMatch "^[0-9]+(\\.[0-9]+)?(k|M|G|T|Ki|Mi|Gi|Ti)?$" $value)) }}
{{ $key }} {{ include "raft.shown" $value }} is no size of Kubernetes: write a number with Ki, Mi, Gi or Ti, such as 4Gi.
{{- end }}
{{- end }}
{{- if not (kindIs "string" .Values.image.tag) }}
image.tag {{ .Values.image.tag }} is a number, and as a number 1.10 is 1.1: write it in quotes, or give it with --set-string.
{{- end }}
{{- $repository := include "raft.repository" . }}
{{- if regexMatch "(:[^/]*|@.*)$" $repository }}
image.repository {{ include "raft.shown" $repository }} holds a tag or digest: put that into image.tag or image.digest.
{{- else if not (regexMatch "^([][A-Za-z0-9.:-]+/)?[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$" $repository) }}
image.repository {{ include "raft.shown" $repository }} cannot be an image's name: write lower-case letters and digits with single dots, dashes and slashes between them, such as registry.example/team/raft.
{{- end }}
{{- $names := dict "priorityClassName" .Values.priorityClassName "serviceAccount.name" .Values.serviceAccount.name "backup.claim" .Values.backup.claim "restore.claim" .Values.restore.claim "objectStorage.existingSecret" .Values.objectStorage.existingSecret "persistence.storageClass" (include "raft.storageClass" . | trimPrefix "-") -}}
{{- range $where, $secrets := dict "image.pullSecrets" .Values.image.pullSecrets "global.imagePullSecrets" (dig "imagePullSecrets" list (.Values.global | default dict)) }}
{{- range $i, $secret := $secrets }}
{{- $_ := set $names (printf "%s[%d]" $where $i) (kindIs "map" $secret | ternary (get (kindIs "map" $secret | ternary $secret dict) "name") $secret) }}
{{- end }}
{{- end }}
{{- range $key, $name := $names }}
{{- if and $name (not (regexMatch "^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$" $name)) }}
{{ $key }} {{ include "raft.shown" $name }} cannot be the name of anything in Kubernetes: write the one that `kubectl get` shows, of lower-case letters, digits, dashes and dots.
{{- end }}
{{- end }}
{{- end -}}

{{- define "raft.refuse.names" -}}
{{- $name := include "raft.fullname" . -}}
{{- if gt (len $name) 52 }}
The name {{ $name }} has {{ len $name }} characters, and Kubernetes leaves 52 for a StatefulSet: set fullnameOverride, or choose a shorter release name.
{{- end }}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name) }}
The name {{ $name }} cannot be a Service's: it must begin with a letter, end with a letter or digit and hold only lower-case letters, digits and dashes; set fullnameOverride, or choose another release name.
{{- end }}
{{- with .Values.namespaceOverride }}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" .) }}
namespaceOverride {{ include "raft.shown" . }} cannot be a namespace's name: write up to 63 lower-case letters, digits and dashes, a letter or digit at both ends.
{{- end }}
{{- end }}
{{- if and (eq (.Values.image.tag | toString) "latest") (not .Values.image.digest) }}
image.tag latest means another image from day to day, so a pod that restarts could run another version than its peers: name a version, or set image.digest.
{{- end }}
{{- range $where, $labels := dict "commonLabels" .Values.commonLabels "podLabels" .Values.podLabels "persistence.labels" .Values.persistence.labels -}}
{{- range $key, $_ := $labels }}
{{- if regexMatch "^(app\\.kubernetes\\.io|helm\\.sh|statefulset\\.kubernetes\\.io)/" $key }}
{{ $where }}.{{ $key }} is a label that the chart or Kubernetes sets itself and finds pods by: use a key of your own.
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Settings that the chart decides from other values, and which value that is. */}}
{{- define "raft.decided" -}}
name: "it is the pod's name"
seeds: "they are the pods 0 to replicaCount-1: set replicaCount"
data_dir: "it is where the pod's volume is mounted"
host: "set listenAddress"
port: "pods serve clients at 8001; service.port is what a Service offers"
operations_port: "set operations.enabled"
peer_host: "set listenAddress"
peer_port: "pods listen to peers at 9001"
peer_address: "it is the pod's name in the headless Service"
client_url: "it is the pod's name in the headless Service"
discover: "pods find each other by the headless Service: a registry is for machines without DNS"
auto_members: "it is the pods 0 to replicaCount-1: set replicaCount"
allowed_hosts: "they are the Services' and the pod's names: add others to extraAllowedHosts"
tls_cert: "set tls.mode and where certificates come from"
tls_key: "set tls.mode and where certificates come from"
tls_client_ca: "set tls.clients.mutual"
tls_accept: "set tls.clients.accept"
operations_tls: "set operations.tls"
peer_tls_cert: "set tls.mode and where certificates come from"
peer_tls_key: "set tls.mode and where certificates come from"
peer_tls_ca: "set tls.mode and where certificates come from"
peer_tls_accept: "set tls.peers.accept"
peer_tls_dial: "set tls.peers.dial"
tokens_file: "set auth.existingSecret"
exit_with_parent: "a container's process has no parent to end with"
chance_seed: "equal chance in all pods would split every vote, for ever"
{{- end -}}

{{/* Ends of what a setting may be where it is written with a unit; made from the node's table by `make generated`. */}}
{{- define "raft.sizeBounds" -}}
max_log_bytes: [4MiB, 64GiB]
snapshot_bytes: [64KiB, 16GiB]
quota_bytes: [1MiB, 1024GiB]
max_uncommitted_bytes: [2MiB, 4GiB]
max_append_bytes: [4KiB, 2MiB]
inflight_bytes: [64KiB, 1GiB]
segment_bytes: [64KiB, 1GiB]
{{- end -}}

{{- define "raft.refuse.settings" -}}
{{- $settings := include "raft.settings" . | fromYaml -}}
{{- range $key, $why := include "raft.decided" . | fromYaml }}
{{- if hasKey $settings $key }}
settings.{{ $key }} is decided by the chart ({{ $why }}): remove it.
{{- end }}
{{- end }}
{{- range $key, $bounds := include "raft.sizeBounds" . | fromYaml }}
{{- $value := get $settings $key }}
{{- if $value }}
{{- $bytes := include "raft.bytes" $value | int64 }}
{{- if or (lt $bytes (include "raft.bytes" (index $bounds 0) | int64)) (gt $bytes (include "raft.bytes" (index $bounds 1) | int64)) }}
settings.{{ $key }} {{ include "raft.showBytes" $bytes }} is out of bounds: it must be {{ index $bounds 0 }} to {{ index $bounds 1 }}.
{{- end }}
{{- end }}
{{- end }}
{{- with $settings.segment_bytes }}
{{- if mod (include "raft.bytes" . | int64) 512 }}
settings.segment_bytes {{ include "raft.bytes" . }} is not a multiple of 512, a disk's sector: round it.
{{- end }}
{{- end }}
{{- with $settings.max_append_bytes }}
{{- $append := include "raft.bytes" . | int64 }}
{{- range $key := list "inflight_bytes" "max_uncommitted_bytes" }}
{{- with get $settings $key }}
{{- if gt $append (include "raft.bytes" . | int64) }}
settings.max_append_bytes {{ include "raft.showBytes" $append }} exceeds settings.{{ $key }} {{ include "raft.showBytes" (include "raft.bytes" .) }}: raise the second or lower the first.
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "raft.refuse.timing" -}}
{{- $settings := include "raft.settings" . | fromYaml -}}
{{- $range := $settings.election_timeout_ms | default "150-300" -}}
{{- $low := include "raft.low" $range | int64 -}}
{{- $high := include "raft.high" $range | int64 -}}
{{- $heartbeat := $settings.heartbeat_ms | default 100 | int64 -}}
{{- if or (lt $low 10) (gt $high 600000) }}
settings.election_timeout_ms {{ $range }} is out of bounds: both ends must be 10 to 600000.
{{- else if lt (mul 5 $high) (mul 6 $low) }}
settings.election_timeout_ms {{ $range }} is too narrow, so candidates would split the vote again and again: end at {{ div (add (mul 6 $low) 4) 5 }} or more.
{{- end }}
{{- if lt (mul 2 $low) (mul 3 $heartbeat) }}
settings.election_timeout_ms {{ $range }} begins below 1.5 heartbeats of {{ $heartbeat }} ms (settings.heartbeat_ms), so one late heartbeat would depose a healthy leader: begin at {{ div (add (mul 3 $heartbeat) 1) 2 }} or more, or beat more often.
{{- end }}
{{- $leaveMs := include "raft.leaveMs" . | int64 }}
{{- $grace := int64 .Values.terminationGracePeriodSeconds }}
{{- if le (mul 1000 $grace) $leaveMs }}
terminationGracePeriodSeconds {{ $grace }} is too short, so a leaving pod could be killed while it hands over: {{ if include "raft.preStopMs" . | int64 }}lifecycle.preStop, {{ end }}settings.leave_wait_ms, settings.request_timeout_ms and 5 s for hand-overs and closing make {{ $leaveMs }} ms; set {{ add (div $leaveMs 1000) 1 }} or more.
{{- end }}
{{- end -}}

{{- define "raft.refuse.sizes" -}}
{{- $log := include "raft.bytes" ((include "raft.settings" . | fromYaml).max_log_bytes | default "256MiB") | int64 -}}
{{- $resources := include "raft.resources" . | fromYaml -}}
{{- $limits := $resources.limits | default dict -}}
{{- $requests := $resources.requests | default dict -}}
{{- if $limits.memory }}
{{- $limit := include "raft.bytes" $limits.memory | int64 }}
{{- $needed := include "raft.memoryNeeded" . | int64 }}
{{- if lt $limit $needed }}
resources.limits.memory {{ $limits.memory }} cannot hold a full log and its state, so all pods would be killed at about the same time, again and again: a log of settings.max_log_bytes {{ include "raft.showBytes" $log }} needs {{ div (add $needed 1048575) 1048576 }}Mi; raise the limit or lower max_log_bytes.
{{- end }}
{{- if $requests.memory }}
{{- if gt (include "raft.bytes" $requests.memory | int64) $limit }}
resources.requests.memory {{ $requests.memory }} exceeds resources.limits.memory {{ $limits.memory }}, so no pod would be made: lower the request or raise the limit.
{{- end }}
{{- end }}
{{- end }}
{{- if and $limits.cpu $requests.cpu }}
{{- if gt (include "raft.millicores" $requests.cpu | int64) (include "raft.millicores" $limits.cpu | int64) }}
resources.requests.cpu {{ $requests.cpu }} exceeds resources.limits.cpu {{ $limits.cpu }}, so no pod would be made: lower the request or raise the limit.
{{- end }}
{{- end }}
{{- $disk := include "raft.diskNeeded" . | int64 }}
{{- $volume := include "raft.volumeSize" . }}
{{- if lt (include "raft.bytes" $volume | int64) $disk }}
persistence.size {{ $volume }} cannot hold a full log, and a node stops when its disk is full: settings.max_log_bytes {{ include "raft.showBytes" $log }} needs {{ div (add $disk 1048575) 1048576 }}Mi; raise the size or lower max_log_bytes.
{{- end }}
{{- end -}}

{{- define "raft.refuse.probes" -}}
{{- $probes := .Values.probes -}}
{{- $logMiB := div (include "raft.bytes" ((include "raft.settings" . | fromYaml).max_log_bytes | default "256MiB") | int64) 1048576 -}}
{{- $startNeeded := include "raft.startSeconds" . | int64 -}}
{{- $start := $probes.startup -}}
{{- if lt (mul (int64 $start.periodSeconds) (include "raft.startFailures" . | int64)) $startNeeded }}
probes.startup gives a node {{ mul (int64 $start.periodSeconds) (include "raft.startFailures" . | int64) }} s to read its log back, and a full one of {{ $logMiB }} MiB may take {{ $startNeeded }} s: raise probes.startup.failureThreshold to {{ div (add $startNeeded (sub (int64 $start.periodSeconds) 1)) (int64 $start.periodSeconds) }}.
{{- end }}
{{- $live := $probes.liveness }}
{{- $tolerated := add (mul (int64 $live.periodSeconds) (sub (int64 $live.failureThreshold) 1)) (int64 $live.timeoutSeconds) }}
{{- if lt $tolerated 70 }}
probes.liveness restarts a node after a stall of {{ $tolerated }} s, and 60 s and a probe's delay must pass, for restarts make a busy cluster worse: raise probes.liveness.failureThreshold until periodSeconds * (failureThreshold - 1) + timeoutSeconds is 70 or more.
{{- end }}
{{- end -}}

{{- define "raft.refuse.pod" -}}
{{- $replicas := int .Values.replicaCount -}}
{{- $budget := .Values.podDisruptionBudget -}}
{{- if and $budget.enabled (gt $replicas 1) (gt (int $budget.maxUnavailable) (div (sub $replicas 1) 2)) }}
podDisruptionBudget.maxUnavailable {{ $budget.maxUnavailable }} lets evictions take the majority of {{ $replicas }} nodes: set {{ div (sub $replicas 1) 2 }} or less.
{{- end }}
{{- if and (hasKey .Values.affinity "podAntiAffinity") (ne .Values.podAntiAffinityPreset "none") }}
affinity.podAntiAffinity and podAntiAffinityPreset {{ .Values.podAntiAffinityPreset }} both say how pods keep apart: set podAntiAffinityPreset to none, or remove the first.
{{- end }}
{{- range .Values.extraEnv }}
{{- if and (hasKey . "value") (hasKey . "valueFrom") }}
extraEnv holds {{ .name }} with both value and valueFrom: remove one of the two.
{{- end }}
{{- if hasPrefix "RAFT_" (.name | default "") }}
extraEnv holds {{ .name }}, and what begins with RAFT_ is a setting of the node: put it into settings, or into the value that the chart makes it from.
{{- end }}
{{- end }}
{{- include "raft.refuse.twice" . }}
{{- range .Values.extraVolumes }}
{{- if has (.name | default "") (list "data" "restore-from") }}
extraVolumes holds a volume named {{ .name }}, which the chart has itself: call it something else.
{{- end }}
{{- end }}
{{- range .Values.extraVolumeMounts }}
{{- if regexMatch "^/var/lib/raft(/.*)?$" (.mountPath | default "") }}
extraVolumeMounts holds {{ .mountPath }}, which lies in a folder of the node's own: mount it elsewhere.
{{- end }}
{{- end }}
{{- range concat .Values.extraContainers .Values.extraInitContainers }}
{{- if has (.name | default "") (list "node" "restore") }}
extraContainers and extraInitContainers may not hold a container named {{ .name }}, which is the node's own: call it something else.
{{- end }}
{{- end }}
{{- end -}}

{{- define "raft.refuse.monitoring" -}}
{{- $monitoring := .Values.monitoring -}}
{{- range $key := list "podMonitor" "serviceMonitor" }}
{{- with get $monitoring $key }}
{{- if and .interval .scrapeTimeout }}
{{- if gt (include "raft.spanMs" .scrapeTimeout | int64) (include "raft.spanMs" .interval | int64) }}
monitoring.{{ $key }}.scrapeTimeout {{ .scrapeTimeout }} is longer than monitoring.{{ $key }}.interval {{ .interval }}, and the Prometheus Operator then scrapes nothing without a word: make the first no longer than the second.
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- $known := or $monitoring.evenIfUnknown (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1") -}}
{{- range $key, $kind := dict "podMonitor" "PodMonitor" "serviceMonitor" "ServiceMonitor" "rules" "PrometheusRule" }}
{{- if and (get $monitoring $key).enabled (not $known) }}
monitoring.{{ $key }}.enabled asks for a {{ $kind }}, and this cluster does not know monitoring.coreos.com/v1: install the Prometheus Operator first, or set it to false; where no cluster is asked, as by `helm template`, give --api-versions monitoring.coreos.com/v1 or set monitoring.evenIfUnknown.
{{- end }}
{{- end }}
{{- if and $monitoring.podMonitor.enabled $monitoring.serviceMonitor.enabled }}
monitoring.podMonitor and monitoring.serviceMonitor would both scrape every pod: leave one of the two disabled, podMonitor where you can choose.
{{- end }}
{{- if and .Values.networkPolicy.enabled .Values.operations.enabled (not .Values.networkPolicy.scrapers) (or $monitoring.podMonitor.enabled $monitoring.serviceMonitor.enabled) }}
networkPolicy.enabled keeps Prometheus from the pods, which monitoring would have it scrape: name its pods in networkPolicy.scrapers.
{{- end }}
{{- range $where, $labels := dict "podMonitor.labels" $monitoring.podMonitor.labels "serviceMonitor.labels" $monitoring.serviceMonitor.labels "rules.labels" $monitoring.rules.labels "dashboard.labels" $monitoring.dashboard.labels -}}
{{- range $key, $_ := $labels }}
{{- if regexMatch "^(app\\.kubernetes\\.io|helm\\.sh)/" $key }}
monitoring.{{ $where }}.{{ $key }} is a label that the chart sets itself: use a key of your own.
{{- else if hasKey $.Values.commonLabels $key }}
monitoring.{{ $where }}.{{ $key }} is one of commonLabels, too, and an object has each label once: remove it from one of the two.
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
