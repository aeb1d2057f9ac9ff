{{- define "logout-relay.labels" -}}
app.kubernetes.io/name: logout-relay
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "logout-relay.name" -}}
{{- if contains "logout-relay" .Release.Name }}{{ .Release.Name | trunc 53 | trimSuffix "-" }}{{ else }}{{ printf "%s-logout-relay" .Release.Name | trunc 53 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "logout-relay.shared" -}}
{{- if .Values.config.store }}yes{{ end }}
{{- end }}

{{- /* relay.yaml: what is configured, and what the chart answers for. */ -}}
{{- define "logout-relay.config" -}}
{{- $listen := dict "host" "0.0.0.0" "port" 8484 }}
{{- if .Values.tlsSecret }}
{{- $_ := set $listen "tls" (dict "cert_file" "/run/secrets/logout-relay/tls/tls.crt" "key_file" "/run/secrets/logout-relay/tls/tls.key") }}
{{- else }}
{{- $_ := set $listen "plain_http_behind_proxy" true }}
{{- end }}
{{- $ours := dict "listen" $listen }}
{{- if not (include "logout-relay.shared" .) }}
{{- $_ := set $ours "store" (dict "sqlite" "/data/relay.db") }}
{{- end }}
{{- toYaml (merge $ours .Values.config) }}
{{- end }}

{{- /* The same pod, whether one keeps its store or several share one. */ -}}
{{- define "logout-relay.pod" -}}
metadata:
  labels:
    {{- include "logout-relay.labels" . | nindent 4 }}
    {{- with .Values.podLabels }}{{ toYaml . | nindent 4 }}{{ end }}
  annotations:
    # Another config is another pod.
    logout-relay/config: {{ include "logout-relay.config" . | sha256sum }}
    {{- with .Values.podAnnotations }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: 30
  {{- with .Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 1000
    runAsGroup: 1000
    fsGroup: 1000
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: { type: RuntimeDefault }
  containers:
    - name: relay
      image: {{ required "image.repository: say where your registry has the image" .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [start, --config, /etc/logout-relay/relay.yaml]
      {{- if .Values.caConfigMap }}
      env:
        - name: NODE_EXTRA_CA_CERTS
          value: /etc/logout-relay-ca/ca.crt
      {{- end }}
      ports:
        - { name: http, containerPort: 8484 }
      {{- $scheme := ternary "HTTPS" "HTTP" (ne .Values.tlsSecret "") }}
      startupProbe:
        httpGet: { path: /healthz, port: http, scheme: {{ $scheme }} }
        periodSeconds: 1
        failureThreshold: 60
      livenessProbe:
        httpGet: { path: /healthz, port: http, scheme: {{ $scheme }} }
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet: { path: /readyz, port: http, scheme: {{ $scheme }} }
        periodSeconds: 5
        timeoutSeconds: 3
      resources: {{ toYaml .Values.resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: { drop: [ALL] }
      volumeMounts:
        - { name: config, mountPath: /etc/logout-relay, readOnly: true }
        - { name: tmp, mountPath: /tmp }
        {{- if not (include "logout-relay.shared" .) }}
        - { name: data, mountPath: /data }
        {{- end }}
        {{- range $name, $_ := .Values.secrets }}
        - { name: secret-{{ $name }}, mountPath: /run/secrets/logout-relay/{{ $name }}, readOnly: true }
        {{- end }}
        {{- if .Values.tlsSecret }}
        - { name: tls, mountPath: /run/secrets/logout-relay/tls, readOnly: true }
        {{- end }}
        {{- if .Values.caConfigMap }}
        - { name: ca, mountPath: /etc/logout-relay-ca, readOnly: true }
        {{- end }}
  volumes:
    - name: config
      configMap: { name: {{ include "logout-relay.name" . }} }
    - name: tmp
      emptyDir: { medium: Memory, sizeLimit: 16Mi }
    {{- range $name, $secret := .Values.secrets }}
    - name: secret-{{ $name }}
      secret: { secretName: {{ $secret }}, defaultMode: 0440 }
    {{- end }}
    {{- with .Values.tlsSecret }}
    - name: tls
      secret: { secretName: {{ . }}, defaultMode: 0440 }
    {{- end }}
    {{- with .Values.caConfigMap }}
    - name: ca
      configMap: { name: {{ . }} }
    {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- if .Values.affinity }}
  affinity: {{ toYaml .Values.affinity | nindent 4 }}
  {{- else if gt (int .Values.replicas) 1 }}
  affinity:
    podAntiAffinity:
      preferredDuringSchedulingIgnoredDuringExecution:
        - weight: 100
          podAffinityTerm:
            topologyKey: kubernetes.io/hostname
            labelSelector:
              matchLabels: {{ include "logout-relay.labels" . | nindent 16 }}
  {{- end }}
{{- end }}
