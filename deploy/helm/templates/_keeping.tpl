{{/* Backups and their return: what the CronJob and the step before a node's first start have in common, and what makes no sense. */}}

{{- define "raft.backupFolder" -}}/backup{{- end -}}

{{/* How a client of S3 is told where and who; nothing where no value names a storage. */}}
{{- define "raft.s3Environment" -}}
- name: AWS_REGION
  value: {{ .Values.objectStorage.region | quote }}
{{- with .Values.objectStorage.endpoint }}
- name: AWS_ENDPOINT_URL
  value: {{ . | quote }}
{{- end }}
{{- with .Values.objectStorage.existingSecret }}
{{- range $key := list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
- name: {{ $key }}
  valueFrom:
    secretKeyRef:
      name: {{ $.Values.objectStorage.existingSecret | quote }}
      key: {{ $key }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The file that is restored, as the step names it. */}}
{{- define "raft.restoreFile" -}}
{{- if .Values.restore.claim -}}{{ include "raft.backupFolder" . }}/{{ .Values.restore.from }}{{- else -}}{{ .Values.restore.from }}{{- end -}}
{{- end -}}

{{/* The init container that restores a member once; nothing without restore.from. */}}
{{- define "raft.restoreStep" -}}
{{- if .Values.restore.from -}}
- name: restore
  image: {{ include "raft.image" . | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  securityContext:
    {{- include "raft.containerSecurity" . | nindent 4 }}
  terminationMessagePolicy: FallbackToLogsOnError
  command: [tini, --, raft-node, restore]
  args:
    - {{ include "raft.restoreFile" . | quote }}
    - --data-dir=/var/lib/raft
    - --name=$(RAFT_NAME)
    - --members=$(RAFT_SEEDS)
    - {{ printf "--token=%s" .Values.restore.token | quote }}
    - --once
  env:
    {{- include "raft.environment" . | nindent 4 }}
    {{- if not .Values.restore.claim }}
    {{- include "raft.s3Environment" . | nindent 4 }}
    {{- end }}
    {{- with .Values.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  resources:
    {{- include "raft.resources" . | nindent 4 }}
  volumeMounts:
    - name: data
      mountPath: /var/lib/raft
    {{- if .Values.restore.claim }}
    - name: restore-from
      mountPath: {{ include "raft.backupFolder" . }}
    {{- end }}
    {{- with include "raft.tlsMount" . }}
    {{- . | nindent 4 }}
    {{- end }}
{{- end -}}
{{- end -}}

{{/* The claim that holds what is restored; nothing where there is none. */}}
{{- define "raft.restoreVolume" -}}
{{- if and .Values.restore.from .Values.restore.claim -}}
- name: restore-from
  persistentVolumeClaim:
    claimName: {{ .Values.restore.claim | quote }}
{{- end -}}
{{- end -}}

{{/* Where notes are kept of who was restored. */}}
{{- define "raft.restoredFrom" -}}
{{- if .Values.restore.claim }}{{ printf "%s in claim %s" .Values.restore.from .Values.restore.claim }}{{ else }}{{ .Values.restore.from }}{{ end -}}
{{- end -}}

{{- define "raft.refuse.keeping" -}}
{{- $backup := .Values.backup -}}
{{- $restore := .Values.restore -}}
{{- if and $backup.enabled (not $backup.claim) (not $backup.bucket) }}
backup.enabled asks for backups and names no place for them: set backup.claim or backup.bucket.
{{- end }}
{{- if and $backup.claim $backup.bucket }}
backup.claim {{ $backup.claim }} and backup.bucket {{ include "raft.shown" $backup.bucket }} are two places, and a backup goes to one: leave one of them empty.
{{- end }}
{{- if and $backup.bucket (not (regexMatch "^s3://[a-z0-9][a-z0-9.-]+/([^ /]+/)*$" $backup.bucket)) }}
backup.bucket {{ include "raft.shown" $backup.bucket }} is no folder of a bucket: write s3://BUCKET/ or s3://BUCKET/FOLDER/, with the slash at the end.
{{- end }}
{{- with .Values.objectStorage.endpoint }}
{{- if not (regexMatch "^https?://[^/?#[:space:]]+(/[^?#[:space:]]*)?$" .) }}
objectStorage.endpoint {{ include "raft.shown" . }} is no address of a storage: write http:// or https:// before its host, such as https://minio.example:9000.
{{- end }}
{{- end }}
{{- if and $backup.enabled (not (regexMatch "^(@[a-z]+|[^ ]+( +[^ ]+){4})$" $backup.schedule)) }}
backup.schedule {{ include "raft.shown" $backup.schedule }} is no schedule: write five fields as cron does, such as "15 3 * * *".
{{- end }}
{{- if $restore.from }}
{{- if not (regexMatch "^[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$" $restore.token) }}
restore.token {{ include "raft.shown" $restore.token }} must be a word of letters, digits, dots and dashes, another one for each restore: a member is restored once for each.
{{- end }}
{{- if $restore.claim }}
{{- if or (hasPrefix "/" $restore.from) (hasPrefix "s3:" $restore.from) (hasSuffix "/" $restore.from) (regexMatch "(^|/)\\.\\.(/|$)" $restore.from) }}
restore.from {{ include "raft.shown" $restore.from }} is no file in the claim {{ $restore.claim }}: write its name there, such as raft-8f7e12ab-20261129T031500Z-214.snap.
{{- end }}
{{- else if not (regexMatch "^s3://[a-z0-9][a-z0-9.-]+/([^ /]+/)*[^ /]+$" $restore.from) }}
restore.from {{ include "raft.shown" $restore.from }} is no file in a bucket: write s3://BUCKET/FOLDER/FILE, or name the claim that it lies in with restore.claim.
{{- end }}
{{- if and .Values.networkPolicy.enabled (not $restore.claim) (not .Values.networkPolicy.servers) }}
networkPolicy.enabled keeps the pods from the bucket of restore.from, which each of them reads before its first start: name the storage in networkPolicy.servers.
{{- end }}
{{- $there := lookup "apps/v1" "StatefulSet" (include "raft.namespace" .) (include "raft.fullname" .) }}
{{- if and $there (ne (dig "metadata" "annotations" "raft/restored" "" $there) $restore.token) }}
restore.from is for an install, and {{ include "raft.fullname" . }} is there: its pods hold data, which no restore replaces. Install another release from the backup, or uninstall this one and delete its claims first.
{{- end }}
{{- $before := dig "metadata" "annotations" "raft/restored-from" "" ($there | default dict) }}
{{- if and $before (eq (dig "metadata" "annotations" "raft/restored" "" $there) $restore.token) (ne $before (include "raft.restoredFrom" .)) }}
restore.from and restore.claim say another place than {{ $before }}, from which {{ include "raft.fullname" . }} was restored: which members were is noted there, and a lost disk would be restored a second time over the cluster that lives. Leave both as they were, or leave them out once every pod runs.
{{- end }}
{{- end }}
{{- end -}}
