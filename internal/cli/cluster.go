// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	resourcev1 "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/version"
)

// Target names a cluster and a namespace in it, as the user's flags do.
type Target struct{ Kubeconfig, Context, Namespace string }

// Cluster is what mill needs of a cluster.
type Cluster struct {
	client.WithWatch
	// Namespace is the one to look in.
	Namespace string
	// Logs opens the log of a container.
	Logs func(ctx context.Context, namespace, pod string, opts *corev1.PodLogOptions) (io.ReadCloser, error)
	// Forward forwards a port to a pod until the context ends, and tells when and where it does.
	Forward func(ctx context.Context, pod *corev1.Pod, ports string, ready func(local int)) error
	// Raw reads a path of the API server.
	Raw func(ctx context.Context, path string) ([]byte, error)
}

// loader finds kubeconfig, context and namespace as kubectl does.
func (t Target) loader() clientcmd.ClientConfig {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = t.Kubeconfig
	overrides := &clientcmd.ConfigOverrides{CurrentContext: t.Context}
	overrides.Context.Namespace = t.Namespace
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides)
}

func connect(t Target) (*Cluster, error) {
	loader := t.loader()
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, err
	}
	namespace, _, err := loader.Namespace()
	if err != nil {
		return nil, err
	}
	config.UserAgent = "mill/" + version.String()
	config.QPS = -1 // the API server knows better how much it can take
	config.WarningHandler = rest.NoWarnings{}
	return Reach(config, namespace)
}

// Reach makes a Cluster of a client configuration.
func Reach(config *rest.Config, namespace string) (*Cluster, error) {
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	// The kinds are known, so discovery would only cost time.
	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme, Mapper: newMapper()})
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	pods, err := typedcorev1.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	raw := func(ctx context.Context, path string) ([]byte, error) {
		return pods.RESTClient().Get().RequestURI(path).SetHeader("Accept", "application/json").DoRaw(ctx)
	}
	return &Cluster{WithWatch: c, Namespace: namespace, Raw: raw, Forward: forwarder(config, pods), Logs: func(ctx context.Context, namespace, pod string, opts *corev1.PodLogOptions) (io.ReadCloser, error) {
		return pods.Pods(namespace).GetLogs(pod, opts).Stream(ctx)
	}}, nil
}

func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, appsv1.AddToScheme, networkingv1.AddToScheme, rbacv1.AddToScheme, resourcev1.AddToScheme, v1alpha1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("building the scheme: %w", err)
		}
	}
	return scheme, nil
}

func newMapper() meta.RESTMapper {
	mapper := meta.NewDefaultRESTMapper(nil)
	for _, kind := range []string{"Pod", "Event", "ConfigMap"} {
		mapper.Add(corev1.SchemeGroupVersion.WithKind(kind), meta.RESTScopeNamespace)
	}
	for _, kind := range []schema.GroupVersionKind{
		corev1.SchemeGroupVersion.WithKind("Namespace"), corev1.SchemeGroupVersion.WithKind("Node"),
		resourcev1.SchemeGroupVersion.WithKind("DeviceClass"), resourcev1.SchemeGroupVersion.WithKind("ResourceSlice"),
	} {
		mapper.Add(kind, meta.RESTScopeRoot)
	}
	for _, k := range kinds() {
		mapper.Add(k.GroupVersionKind, map[bool]meta.RESTScope{true: meta.RESTScopeNamespace, false: meta.RESTScopeRoot}[k.namespaced])
	}
	pods := schema.GroupVersionResource{Group: podMetrics.Group, Version: podMetrics.Version, Resource: "pods"}
	mapper.AddSpecific(podMetrics, pods, pods, meta.RESTScopeNamespace)
	return mapper
}

// connect reaches the cluster of the user's flags.
func (p *Program) connect() (*Cluster, error) { return p.Connect(p.target) }

// job reads one job.
func (c *Cluster) job(ctx context.Context, name string) (*v1alpha1.TrainingJob, error) {
	job := &v1alpha1.TrainingJob{}
	return job, c.find(ctx, kindOf("TrainingJob"), name, job)
}

// isMissing is true when an object is not there, and false when its kind is not.
func isMissing(err error) bool { return apierrors.IsNotFound(err) && !isUnserved(err) }

// isUnserved is true when the API server does not know the kind that was asked for.
func isUnserved(err error) bool {
	var status apierrors.APIStatus
	if !apierrors.IsNotFound(err) || !errors.As(err, &status) {
		return meta.IsNoMatchError(err)
	}
	details := status.Status().Details
	if details == nil || details.Name == "" {
		return true
	}
	for _, cause := range details.Causes {
		if cause.Type == metav1.CauseTypeUnexpectedServerResponse {
			return true
		}
	}
	return false
}

// explain words an error for somebody who has never seen client-go, with a remedy where there is one.
func explain(err error) string {
	var netErr net.Error
	var urlErr *url.Error
	switch {
	case clientcmd.IsEmptyConfig(err):
		return "no cluster is configured: set KUBECONFIG, or use --kubeconfig"
	case isUnserved(err):
		return "the cluster does not serve millrace.dev/v1alpha1: install Millrace first (kubectl apply -f install.yaml)"
	case apierrors.IsUnauthorized(err):
		return "the cluster does not accept your credentials: check --kubeconfig and --context"
	case apierrors.IsForbidden(err):
		return "not allowed: " + err.Error()
	case errors.As(err, &urlErr) && errors.As(err, &netErr):
		server, parseErr := url.Parse(urlErr.URL)
		if parseErr != nil {
			return err.Error()
		}
		return fmt.Sprintf("cannot reach the cluster at %s://%s: %s; check --kubeconfig and --context, and that it runs", server.Scheme, server.Host, rootCause(urlErr))
	}
	return strings.TrimSpace(err.Error())
}

// rootCause is the innermost error, such as "connection refused".
func rootCause(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}
