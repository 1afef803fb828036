{{/* TLS: what a pod is told and given of it, how whoever asks a node does so, and what makes no sense. A changed certificate
     changes no template: nodes see it in their files. */}}

{{- define "raft.tlsFolder" -}}/etc/raft/tls{{- end -}}

{{/* What clients and peers speak, "plain" while there are no certificates; how peers are dialled. */}}
{{- define "raft.clientsAccept" -}}{{ eq .Values.tls.mode "disabled" | ternary "plain" .Values.tls.clients.accept }}{{- end -}}
{{- define "raft.peersAccept" -}}{{ eq .Values.tls.mode "disabled" | ternary "plain" .Values.tls.peers.accept }}{{- end -}}
{{- define "raft.peersDial" -}}{{ eq .Values.tls.mode "disabled" | ternary "plain" .Values.tls.peers.dial }}{{- end -}}

{{/* "true" where clients must show a certificate, else nothing. */}}
{{- define "raft.clientsShow" -}}
{{- if and (ne (include "raft.clientsAccept" .) "plain") .Values.tls.clients.mutual -}}true{{- end -}}
{{- end -}}

{{/* How clients are told to reach nodes: what every pod of this release takes, during a rollout to these values as well. */}}
{{- define "raft.scheme" -}}{{ eq (include "raft.clientsAccept" .) "tls" | ternary "https" "http" }}{{- end -}}

{{/* How the chart's own clients (probes, `helm test`, monitors) ask: with TLS as soon as a node can, so that what still comes in
     plain text is somebody who has not moved yet. */}}
{{- define "raft.ownScheme" -}}{{ eq (include "raft.clientsAccept" .) "plain" | ternary "http" "https" }}{{- end -}}

{{- define "raft.tlsSecret" -}}
{{- if eq .Values.tls.mode "secret" -}}{{ .Values.tls.existingSecret }}{{- else -}}{{ include "raft.fullname" . }}-tls{{- end -}}
{{- end -}}

{{/* The Secret whose ca.crt says whom to trust; beside the certificate unless another is named. */}}
{{- define "raft.authoritiesSecret" -}}
{{- dig "authorities" "existingSecret" "" .Values.tls | default (include "raft.tlsSecret" .) -}}
{{- end -}}

{{/* The volume of a pod; takes (list root "node" or "client"), true where the pod shall start though a Secret is not there, and the
     Secret of the certificate that is shown where it is neither the clients' nor the nodes' own. A client that need not show
     anything is given no key. */}}
{{- define "raft.tlsVolume" -}}
{{- $root := index . 0 -}}
{{- $client := eq (index . 1) "client" -}}
{{- $optional := and (gt (len .) 2) (index . 2) -}}
{{- $nodes := include "raft.tlsSecret" $root -}}
{{- $authorities := include "raft.authoritiesSecret" $root -}}
{{- $shown := $nodes -}}
{{- if $client -}}
{{- $shown = (gt (len .) 3) | ternary (last .) "" | default $root.Values.tls.clients.existingSecret | default $nodes -}}
{{- if not (include "raft.clientsShow" $root) -}}{{- $shown = "" -}}{{- end -}}
{{- end -}}
{{- if eq $root.Values.tls.mode "disabled" -}}
{{- else if and $shown (ne $shown $authorities) -}}
- name: tls
  projected:
    {{- if $root.Values.securityContext.fsGroup }}
    defaultMode: 0440
    {{- end }}
    sources:
      - secret:
          name: {{ $authorities | quote }}
          {{- if $optional }}
          optional: true
          {{- end }}
          items:
            - {key: ca.crt, path: ca.crt}
      - secret:
          name: {{ $shown | quote }}
          {{- if $optional }}
          optional: true
          {{- end }}
          items:
            - {key: tls.crt, path: tls.crt}
            - {key: tls.key, path: tls.key}
{{- else -}}
- name: tls
  secret:
    secretName: {{ $authorities | quote }}
    {{- if $optional }}
    optional: true
    {{- end }}
    {{- if $root.Values.securityContext.fsGroup }}
    defaultMode: 0440
    {{- end }}
    {{- if not $shown }}
    items:
      - {key: ca.crt, path: ca.crt}
    {{- end }}
{{- end -}}
{{- end -}}

{{/* As a folder, never by subPath: that is not renewed. */}}
{{- define "raft.tlsMount" -}}
{{- if ne .Values.tls.mode "disabled" -}}
- name: tls
  mountPath: {{ include "raft.tlsFolder" . }}
  readOnly: true
{{- end -}}
{{- end -}}

{{/* For commands that ask nodes. */}}
{{- define "raft.tlsOfClients" -}}
{{- if ne .Values.tls.mode "disabled" -}}
{{- $folder := include "raft.tlsFolder" . -}}
- name: RAFT_CACERT
  value: {{ $folder }}/ca.crt
{{- if include "raft.clientsShow" . }}
- name: RAFT_CERT
  value: {{ $folder }}/tls.crt
- name: RAFT_KEY
  value: {{ $folder }}/tls.key
{{- end }}
{{- end -}}
{{- end -}}

{{- define "raft.tlsOfNodes" -}}
{{- if ne .Values.tls.mode "disabled" -}}
{{- $folder := include "raft.tlsFolder" . -}}
{{- if eq (include "raft.operationsScheme" .) "https" -}}
- name: RAFT_OPERATIONS_TLS
  value: tls
{{ end -}}
{{- if or (ne (include "raft.clientsAccept" .) "plain") (eq (include "raft.operationsScheme" .) "https") -}}
- name: RAFT_TLS_ACCEPT
  value: {{ include "raft.clientsAccept" . }}
- name: RAFT_TLS_CERT
  value: {{ $folder }}/tls.crt
- name: RAFT_TLS_KEY
  value: {{ $folder }}/tls.key
{{- if include "raft.clientsShow" . }}
- name: RAFT_TLS_CLIENT_CA
  value: {{ $folder }}/ca.crt
{{- end }}
{{ end -}}
- name: RAFT_PEER_TLS_ACCEPT
  value: {{ include "raft.peersAccept" . }}
- name: RAFT_PEER_TLS_DIAL
  value: {{ include "raft.peersDial" . }}
- name: RAFT_PEER_TLS_CERT
  value: {{ $folder }}/tls.crt
- name: RAFT_PEER_TLS_KEY
  value: {{ $folder }}/tls.key
- name: RAFT_PEER_TLS_CA
  value: {{ $folder }}/ca.crt
{{ include "raft.tlsOfClients" . }}
{{- end -}}
{{- end -}}

{{/* At the port for operations, where there is one. */}}
{{- define "raft.operationsScheme" -}}
{{ and .Values.operations.enabled .Values.operations.tls (ne .Values.tls.mode "disabled") | ternary "https" "http" }}
{{- end -}}

{{/* How Prometheus asks. */}}
{{- define "raft.scrapeScheme" -}}{{ .Values.operations.enabled | ternary (include "raft.operationsScheme" .) (include "raft.ownScheme" .) }}{{- end -}}

{{/* After `scheme:`. One name for all pods, which the certificate holds because peers ask for it. */}}
{{- define "raft.tlsOfScrapes" -}}
{{- if eq (include "raft.scrapeScheme" .) "https" -}}
tlsConfig:
  serverName: {{ printf "%s-0.%s.%s.svc" (include "raft.fullname" .) (include "raft.headless" .) (include "raft.namespace" .) | quote }}
  ca:
    secret: {name: {{ include "raft.authoritiesSecret" . | quote }}, key: ca.crt}
  {{- if and (include "raft.clientsShow" .) (not .Values.operations.enabled) }}
  {{- $shown := .Values.tls.clients.existingSecret | default (include "raft.tlsSecret" .) }}
  cert:
    secret: {name: {{ $shown | quote }}, key: tls.crt}
  keySecret: {name: {{ $shown | quote }}, key: tls.key}
  {{- end }}
{{- end -}}
{{- end -}}

{{/* What the certificate of cert-manager is for, one name a line: what peers prove themselves with, and whatever clients call
     a node, through a port-forward as well. */}}
{{- define "raft.certificateNames" -}}
{{- $namespace := include "raft.namespace" . -}}
{{- range $name := list (printf "*.%s" (include "raft.headless" .)) (include "raft.fullname" .) (include "raft.headless" .) -}}
{{- if not (hasPrefix "*" $name) }}{{ $name }}
{{ end -}}
{{ $name }}.{{ $namespace }}
{{ $name }}.{{ $namespace }}.svc
{{ $name }}.{{ $namespace }}.svc.{{ $.Values.clusterDomain }}
{{ end -}}
localhost
{{ range concat .Values.extraAllowedHosts .Values.tls.certManager.extraDnsNames -}}
{{ . }}
{{ end -}}
{{- end -}}

{{- define "raft.refuse.tls" -}}
{{- $tls := .Values.tls -}}
{{- $issuer := $tls.certManager.issuer -}}
{{- $authorities := dig "authorities" "existingSecret" "" $tls -}}
{{- range $key, $name := dict "tls.existingSecret" $tls.existingSecret "tls.clients.existingSecret" $tls.clients.existingSecret "tls.authorities.existingSecret" $authorities "tls.certManager.issuer.name" $issuer.name }}
{{- if and $name (not (regexMatch "^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$" $name)) }}
{{ $key }} {{ include "raft.shown" $name }} cannot be the name of anything in Kubernetes: write the one that `kubectl get` shows, of lower-case letters, digits, dashes and dots.
{{- end }}
{{- end }}
{{- if and (eq $tls.mode "secret") (not $tls.existingSecret) }}
tls.mode secret needs tls.existingSecret: name a Secret with tls.crt, tls.key and ca.crt.
{{- else if and $tls.existingSecret (ne $tls.mode "secret") }}
tls.existingSecret {{ include "raft.shown" $tls.existingSecret }} is not used while tls.mode is {{ $tls.mode }}: set tls.mode to secret, or remove it.
{{- end }}
{{- if and $authorities (eq $tls.mode "disabled") }}
tls.authorities.existingSecret {{ include "raft.shown" $authorities }} is not used while tls.mode is disabled: set that to secret or certManager, or remove this.
{{- end }}
{{- if and .Values.operations.tls (eq $tls.mode "disabled") }}
operations.tls has no certificate to speak TLS with: set tls.mode to secret or certManager.
{{- end }}
{{- if and $tls.clients.existingSecret (not $tls.clients.mutual) }}
tls.clients.existingSecret {{ include "raft.shown" $tls.clients.existingSecret }} is not used while tls.clients.mutual is false, for nobody asks for it: set that, or remove this.
{{- end }}
{{- if and (eq $tls.mode "disabled") $tls.clients.mutual }}
tls.clients.mutual asks clients for certificates, and with tls.mode disabled they cannot show one: set tls.mode to secret or certManager.
{{- end }}
{{- if ne $tls.mode "disabled" }}
{{- if and $tls.clients.mutual (eq $tls.clients.accept "plain") }}
tls.clients.mutual asks clients for certificates, and with tls.clients.accept plain they cannot show one: accept tls, or both on the way there.
{{- end }}
{{- if and (eq $tls.peers.accept "tls") (eq $tls.peers.dial "plain") }}
tls.peers.accept tls and tls.peers.dial plain would have nodes refuse each other: dial tls first, accept tls alone afterwards.
{{- end }}
{{- if and (eq $tls.peers.accept "plain") (eq $tls.peers.dial "tls") }}
tls.peers.accept plain and tls.peers.dial tls would have nodes refuse each other: accept both first.
{{- end }}
{{- end }}
{{- if eq $tls.mode "certManager" }}
{{- if not (or $tls.certManager.evenIfUnknown (.Capabilities.APIVersions.Has "cert-manager.io/v1")) }}
tls.mode certManager asks for a Certificate, and this cluster does not know cert-manager.io/v1: install cert-manager first, or bring a Secret (tls.mode secret); where no cluster is asked, as by `helm template`, give --api-versions cert-manager.io/v1 or set tls.certManager.evenIfUnknown.
{{- end }}
{{- if not $issuer.name }}
tls.mode certManager needs tls.certManager.issuer.name: name the Issuer or ClusterIssuer that signs.
{{- end }}
{{- range $key := list "duration" "renewBefore" }}
{{- $span := get $tls.certManager $key }}
{{- if not (regexMatch "^([0-9]+h)?([0-9]+m)?([0-9]+s)?$" $span) }}
tls.certManager.{{ $key }} {{ include "raft.shown" $span }} is no span of time: write hours, minutes or seconds, such as 2160h.
{{- end }}
{{- end }}
{{- range $name := $tls.certManager.extraDnsNames }}
{{- if not (regexMatch "^(\\*\\.)?[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?$" $name) }}
tls.certManager.extraDnsNames holds {{ include "raft.shown" $name }}, which is no name in DNS: write one such as raft.example.org.
{{- end }}
{{- end }}
{{- end }}
{{- if ne $tls.mode "disabled" }}
{{- range .Values.extraVolumes }}
{{- if eq (.name | default "") "tls" }}
extraVolumes holds a volume named tls, which the chart has itself: call it something else.
{{- end }}
{{- end }}
{{- range .Values.extraVolumeMounts }}
{{- if regexMatch (printf "^%s(/.*)?$" (include "raft.tlsFolder" $)) (.mountPath | default "") }}
extraVolumeMounts holds {{ .mountPath }}, where the chart mounts certificates: mount it elsewhere.
{{- end }}
{{- end }}
{{- end }}
{{- include "raft.refuse.tlsStep" . }}
{{- include "raft.refuse.tlsSource" . }}
{{- end -}}
