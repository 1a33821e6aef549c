// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/millrace-ml/millrace/internal/names"
	"github.com/millrace-ml/millrace/internal/observe"
)

const (
	// credentials is the volume, and where it is mounted, with the token and the CA of pods that push metrics.
	credentials    = "millrace-metrics"
	credentialsDir = "/var/run/secrets/millrace.dev"
	// progress is the volume with how far a sidecar has read, and files the one that a training writes its metrics into.
	progress    = "millrace-progress"
	progressDir = "/var/lib/millrace"
	files       = "millrace-files"
	// collector is the name of the sidecar.
	collector = "millrace-collector"
	// tokenLife is how long a token is valid, in seconds; the kubelet renews it before.
	tokenLife = 3600
	// sidecarUser is whom the sidecar runs as where the pod does not say.
	sidecarUser = 65532
)

// PushEnv are the variables by which a container knows where to push its metrics. They must be ours.
var PushEnv = []string{names.EnvMetricsURL, names.EnvMetricsToken, names.EnvMetricsCA}

// AddPush lets a container push metrics to a URL: it gets the address, a token that is good for nothing else, and the CA. The
// ConfigMap with the CA has to be in the namespace; the pod waits for it.
func AddPush(spec *corev1.PodSpec, container int, url string) {
	addCredentials(spec)
	c := &spec.Containers[container]
	c.VolumeMounts = append(c.VolumeMounts, credentialsMount())
	AddEnv(spec, container, pushEnv(url))
}

func pushEnv(url string) []corev1.EnvVar {
	return []corev1.EnvVar{
		{Name: names.EnvMetricsURL, Value: url},
		{Name: names.EnvMetricsToken, Value: credentialsDir + "/token"},
		{Name: names.EnvMetricsCA, Value: credentialsDir + "/" + names.AuthorityKey},
	}
}

func credentialsMount() corev1.VolumeMount {
	return corev1.VolumeMount{Name: credentials, MountPath: credentialsDir, ReadOnly: true}
}

func addCredentials(spec *corev1.PodSpec) {
	if slices.ContainsFunc(spec.Volumes, func(v corev1.Volume) bool { return v.Name == credentials }) {
		return
	}
	spec.Volumes = append(spec.Volumes, corev1.Volume{Name: credentials, VolumeSource: corev1.VolumeSource{
		Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{
				Audience: names.Audience, ExpirationSeconds: new(int64(tokenLife)), Path: "token",
			}},
			{ConfigMap: &corev1.ConfigMapProjection{
				LocalObjectReference: corev1.LocalObjectReference{Name: names.Authority},
				Items:                []corev1.KeyToPath{{Key: names.AuthorityKey, Path: names.AuthorityKey}},
			}},
		}},
	}})
}

// Collector is a sidecar that reads the metrics that a container writes into files, and pushes them.
type Collector struct {
	// Image has the launcher.
	Image string
	// URL is where metrics of the trial are pushed to.
	URL string
	// Path is the file or, of FormatTensorBoard, the directory, in the container.
	Path   string
	Format observe.Format
	// Metrics are wanted; Filters are of FormatText.
	Metrics, Filters []string
}

// AddCollector adds the sidecar of a container. It is a native one: it starts before the container and ends after it, and does not
// keep the pod from ending. Where the container has a volume for the path, the sidecar reads that; else both get an empty one.
func AddCollector(spec *corev1.PodSpec, container int, c Collector) {
	addCredentials(spec)
	spec.Volumes = append(spec.Volumes, corev1.Volume{Name: progress, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
	shared := c.share(spec, container)
	shared.ReadOnly = true
	args := []string{"collect", "--path=" + c.Path, "--format=" + string(c.Format)}
	for _, m := range c.Metrics {
		args = append(args, "--metric="+m)
	}
	for _, f := range c.Filters {
		args = append(args, "--filter="+f)
	}
	spec.InitContainers = append(spec.InitContainers, corev1.Container{
		Name: collector, Image: c.Image, Command: []string{"/launcher"}, Args: args, Env: pushEnv(c.URL),
		RestartPolicy:   new(corev1.ContainerRestartPolicyAlways),
		VolumeMounts:    []corev1.VolumeMount{shared, credentialsMount(), {Name: progress, MountPath: progressDir}},
		Resources:       sidecarResources(),
		SecurityContext: sidecarSecurity(spec, container),
	})
}

// share is the mount through which the sidecar reads what the container writes.
func (c Collector) share(spec *corev1.PodSpec, container int) corev1.VolumeMount {
	main := &spec.Containers[container]
	directory := c.Path
	if c.Format != observe.FormatTensorBoard {
		directory = path.Dir(c.Path)
	}
	var found corev1.VolumeMount
	for _, m := range main.VolumeMounts {
		above := path.Clean(m.MountPath)
		if (directory == above || strings.HasPrefix(directory, strings.TrimSuffix(above, "/")+"/")) && len(above) > len(found.MountPath) {
			found = m
		}
	}
	if found.Name != "" {
		return found
	}
	mount := corev1.VolumeMount{Name: files, MountPath: directory}
	Mount(spec, container, corev1.Volume{Name: files, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}, directory)
	return mount
}

// sidecarSecurity is what the restricted Pod Security Standard asks for. The user is the container's, so that what it writes can be
// read, unless that is root.
func sidecarSecurity(spec *corev1.PodSpec, container int) *corev1.SecurityContext {
	user := int64(sidecarUser)
	if s := spec.SecurityContext; s != nil && s.RunAsUser != nil && *s.RunAsUser != 0 {
		user = *s.RunAsUser
	}
	if s := spec.Containers[container].SecurityContext; s != nil && s.RunAsUser != nil && *s.RunAsUser != 0 {
		user = *s.RunAsUser
	}
	return &corev1.SecurityContext{
		RunAsNonRoot: new(true), RunAsUser: &user, AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true),
		Capabilities:   &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
}

// sidecarResources are small: the launcher reads lines.
func sidecarResources() corev1.ResourceRequirements {
	return corev1.ResourceRequirements{
		Requests: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("5m"), corev1.ResourceMemory: resource.MustParse("16Mi"),
		},
		Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")},
	}
}
