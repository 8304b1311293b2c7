{{- define "aidb.name" -}}
{{- default "aidb-operator" .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{- define "aidb.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if .Values.nameOverride -}}
{{- printf "%s-%s" .Release.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if hasSuffix "operator" .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-operator" (.Release.Name | trunc 54 | trimSuffix "-") -}}
{{- end -}}
{{- end }}

{{- /* Roles of the whole Kubernetes cluster: two releases of one name in two namespaces must not share them. */ -}}
{{- define "aidb.clusterName" -}}
{{- printf "%s:%s" .Release.Namespace (include "aidb.fullname" .) -}}
{{- end }}

{{- define "aidb.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "aidb.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name is needed when serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{- define "aidb.selector" -}}
app.kubernetes.io/name: {{ include "aidb.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "aidb.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_") | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/name: {{ include "aidb.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: aidb
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* Of a dict with image (repository, tag, digest) and version. */ -}}
{{- define "aidb.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ default .version .image.tag }}
{{- end -}}
{{- end }}

{{- define "aidb.operatorImage" -}}
{{- include "aidb.image" (dict "image" .Values.image "version" .Chart.AppVersion) -}}
{{- end }}

{{- define "aidb.nodeImage" -}}
{{- include "aidb.image" (dict "image" .Values.nodeImage "version" .Chart.AppVersion) -}}
{{- end }}

{{- define "aidb.podSecurity" -}}
runAsNonRoot: true
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "aidb.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- /* Selectors win over what users add. */ -}}
{{- define "aidb.podLabels" -}}
{{- $selector := include "aidb.selector" . | fromYaml -}}
{{- toYaml (merge $selector .Values.podLabels .Values.commonLabels) -}}
{{- end }}
