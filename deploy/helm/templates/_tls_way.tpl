{{/* TLS of a release that runs: what the pods that are there take, show and trust, and which upgrade would have them and their
     successors refuse each other. A render without a cluster (helm template) finds nothing and refuses nothing. */}}

{{/* What the pods that are there take and dial, by variable, as YAML; nothing where there are none, or no cluster is asked. */}}
{{- define "raft.tlsThere" -}}
{{- $there := lookup "apps/v1" "StatefulSet" (include "raft.namespace" .) (include "raft.fullname" .) -}}
{{- if $there }}
{{- $old := dict "RAFT_PEER_TLS_ACCEPT" "plain" "RAFT_PEER_TLS_DIAL" "plain" "RAFT_TLS_ACCEPT" "plain" -}}
{{- range dig "spec" "template" "spec" "containers" list $there }}
{{- if eq .name "node" }}
{{- range .env }}
{{- if hasKey $old .name }}{{ $_ := set $old .name (.value | default "plain") }}{{ end }}
{{- end }}
{{- end }}
{{- end }}
{{- toYaml $old }}
{{- end }}
{{- end -}}

{{/* How a Job asks that runs before the pods are replaced, or while they are: by what old and new ones take. */}}
{{- define "raft.schemeOfBoth" -}}
{{- $old := get (include "raft.tlsThere" . | fromYaml) "RAFT_TLS_ACCEPT" -}}
{{- if eq $old "tls" -}}https{{- else if eq $old "plain" -}}http{{- else -}}{{ include "raft.scheme" . }}{{- end -}}
{{- end -}}

{{/* Old and new pods run side by side while an upgrade rolls: each must take what the other dials. */}}
{{- define "raft.refuse.tlsStep" -}}
{{- with include "raft.tlsThere" . | fromYaml -}}
{{- $old := . -}}
{{- with $ }}
{{- $accept := include "raft.peersAccept" . -}}
{{- $dial := include "raft.peersDial" . -}}
{{- $way := "one step after the other, as docs/operations.md says under TLS" }}
{{- if not (has $old.RAFT_PEER_TLS_DIAL (eq $accept "both" | ternary (list "plain" "tls") (list $accept))) }}
tls.peers.accept {{ $accept }} would have pods that are replaced refuse those that are not yet, which dial {{ $old.RAFT_PEER_TLS_DIAL }}: accept both and dial {{ $accept }} first, {{ $way }}.
{{- else if not (has $dial (eq $old.RAFT_PEER_TLS_ACCEPT "both" | ternary (list "plain" "tls") (list $old.RAFT_PEER_TLS_ACCEPT))) }}
tls.peers.dial {{ $dial }} would have pods that are not yet replaced, which accept {{ $old.RAFT_PEER_TLS_ACCEPT }} alone, refuse those that are: accept both first, {{ $way }}.
{{- end }}
{{- $clients := include "raft.clientsAccept" . -}}
{{- if or (and (eq $old.RAFT_TLS_ACCEPT "plain") (eq $clients "tls")) (and (eq $old.RAFT_TLS_ACCEPT "tls") (eq $clients "plain")) }}
tls.clients.accept {{ $clients }} would shut out all clients, which speak {{ $old.RAFT_TLS_ACCEPT }} now: accept both first, {{ $way }}.
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The Secrets of the pods that are there, as YAML: `certificate`, and `authorities`, whose ca.crt they trust. Nothing where they have
     none, or no cluster is asked. */}}
{{- define "raft.tlsSecretsThere" -}}
{{- range dig "spec" "template" "spec" "volumes" list (lookup "apps/v1" "StatefulSet" (include "raft.namespace" .) (include "raft.fullname" .)) }}
{{- if eq .name "tls" }}
{{- $found := dict "certificate" (dig "secret" "secretName" "" .) "authorities" (dig "secret" "secretName" "" .) }}
{{- range dig "projected" "sources" list . }}
{{- $key := dig "secret" "items" list . | first | default dict }}
{{- $_ := set $found (eq (get $key "key") "ca.crt" | ternary "authorities" "certificate") (dig "secret" "name" "" .) }}
{{- end }}
{{- toYaml $found }}
{{- end }}
{{- end }}
{{- end -}}

{{/* What a Job shows that asks before the pods are replaced: cert-manager's Secret may not be there yet, and the pods take what they
     show themselves. Else nothing, which is the clients' or the nodes' own. */}}
{{- define "raft.shownBefore" -}}
{{- $there := include "raft.tlsSecretsThere" . | fromYaml -}}
{{- if and (eq .Values.tls.mode "certManager") (not .Values.tls.clients.existingSecret) -}}{{ get $there "certificate" }}{{- end -}}
{{- end -}}

{{/* Who signs what cert-manager makes for this release: what its Certificate asks for, else (the Certificate was lost) what the Secret
     says; as `KIND NAME of GROUP`. Nothing where it makes nothing yet. */}}
{{- define "raft.issuerThere" -}}
{{- $certificate := lookup "cert-manager.io/v1" "Certificate" (include "raft.namespace" .) (include "raft.fullname" .) -}}
{{- $made := dig "metadata" "annotations" dict (lookup "v1" "Secret" (include "raft.namespace" .) (include "raft.tlsSecret" .)) -}}
{{- $named := dict "name" (get $made "cert-manager.io/issuer-name") "kind" (get $made "cert-manager.io/issuer-kind") "group" (get $made "cert-manager.io/issuer-group") -}}
{{- with dig "spec" "issuerRef" $named $certificate -}}
{{- if .name }}{{ .kind | default "Issuer" }} {{ .name }} of {{ .group | default "cert-manager.io" }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* cert-manager makes what the pods show, and nobody can look at it first: where that begins, or where another issuer signs, the pods
     that are there must trust both authorities already. (A Secret of other contents is tried by the Job before the upgrade, which
     asks the pods that are there as one that has it.) */}}
{{- define "raft.refuse.tlsSource" -}}
{{- $there := include "raft.tlsSecretsThere" . | fromYaml -}}
{{- if and $there (eq .Values.tls.mode "certManager") (.Capabilities.APIVersions.Has "cert-manager.io/v1") -}}
{{- $issuer := .Values.tls.certManager.issuer -}}
{{- $asked := printf "%s %s of %s" $issuer.kind $issuer.name $issuer.group -}}
{{- $now := include "raft.issuerThere" . -}}
{{- $changes := or (ne $there.certificate (include "raft.tlsSecret" .)) (ne $now $asked) -}}
{{- $both := and (ne $there.authorities $there.certificate) (eq $there.authorities (include "raft.authoritiesSecret" .)) -}}
{{- if and $changes (not $both) }}
tls.certManager.issuer would have certificates signed by {{ $asked }}, which pods that trust ca.crt of the Secret {{ $there.authorities }} may refuse: upgrade with tls.authorities.existingSecret and no other change first, a Secret whose ca.crt holds both authorities, then with this, one step after the other, as docs/operations.md says under TLS.
{{- end }}
{{- end }}
{{- end -}}
