// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package poddefault

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/envtest"
	"github.com/millrace-ml/millrace/internal/poddefault"
)

// court is an API server with the admission policy, and a namespace of a Profile.
type court struct {
	client.WithWatch
	t         *testing.T
	namespace string
}

func newCourt(t *testing.T) *court {
	t.Helper()
	server := envtest.Start(t)
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	c := &court{server.Client(t, scheme), t, server.Namespace(t)}
	data, err := os.ReadFile("../../config/components/poddefault-admission/policy.yaml")
	c.must(err)
	for decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096); ; {
		var o unstructured.Unstructured
		if err := decoder.Decode(&o.Object); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		c.must(client.IgnoreAlreadyExists(c.Create(t.Context(), &o)))
	}
	var ns corev1.Namespace
	c.must(c.Get(t.Context(), client.ObjectKey{Name: c.namespace}, &ns))
	ns.Labels["millrace.dev/profile"] = c.namespace
	c.must(c.Update(t.Context(), &ns))
	c.must(c.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: "default-editor"}}))
	return c
}

func (c *court) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// given makes a PodDefault and waits until the API server knows it as a parameter.
func (c *court) given(name string, spec v1alpha1.PodDefaultSpec) *v1alpha1.PodDefault {
	c.t.Helper()
	d := &v1alpha1.PodDefault{ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: name}, Spec: spec}
	c.must(c.Create(c.t.Context(), d))
	probe := asks(pod(c.namespace), "probe", "yes")
	maps.Copy(probe.Labels, spec.Selector.MatchLabels)
	for deadline := time.Now().Add(10 * time.Second); ; {
		got := probe.DeepCopy()
		err := c.Create(c.t.Context(), got, client.DryRunAll)
		if err != nil && strings.Contains(err.Error(), name) || strings.Contains(got.Annotations["millrace.dev/poddefaults"], name) {
			return d
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("the policy does not take PodDefault %s: %v", name, err)
		}
	}
}

func pod(namespace string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "work"}, Spec: corev1.PodSpec{
		AutomountServiceAccountToken: new(false), Containers: []corev1.Container{{Name: "main", Image: "image"}, {Name: "beside", Image: "image"}},
	}}
}

// asks gives a pod the label by which it asks for PodDefaults, and another.
func asks(p *corev1.Pod, key, value string) *corev1.Pod {
	p.Labels = map[string]string{"millrace.dev/poddefaults": "true", key: value}
	return p
}

func everything(policy v1alpha1.PodDefaultConflictPolicy) v1alpha1.PodDefaultSpec {
	return v1alpha1.PodDefaultSpec{
		Selector: metav1.LabelSelector{MatchLabels: map[string]string{"s3": "yes"}}, ConflictPolicy: policy,
		Labels: map[string]string{"team": "a"}, Annotations: map[string]string{"example.com/note": "text"},
		Env:          []corev1.EnvVar{{Name: "LEVEL", Value: "debug"}, {Name: "MORE", Value: "1"}},
		EnvFrom:      []corev1.EnvFromSource{{Prefix: "S3_", SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "s3"}}}},
		Volumes:      []corev1.Volume{{Name: "cache", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}},
		VolumeMounts: []corev1.VolumeMount{{Name: "cache", MountPath: "/cache"}},
		Tolerations:  []corev1.Toleration{{Key: "spot", Operator: corev1.TolerationOpExists}}, NodeSelector: map[string]string{"disk": "ssd"},
		Resources: &v1alpha1.PodDefaultResources{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2")}, Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("4Gi")},
		},
		ServiceAccountName: "default-editor", ImagePullSecrets: []corev1.LocalObjectReference{{Name: "registry"}},
		InitContainers: []corev1.Container{{Name: "fetch", Image: "fetch"}}, Sidecars: []corev1.Container{{Name: "proxy", Image: "proxy"}},
	}
}

// contrary is a pod with other values than everything.
func contrary(namespace string) *corev1.Pod {
	p := asks(pod(namespace), "s3", "yes")
	p.Labels["team"] = "own"
	p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "LEVEL", Value: "info"}}
	p.Spec.NodeSelector = map[string]string{"disk": "hdd"}
	return p
}

// TestThePolicyDoesWhatMillraceDoesToItsOwnPods compares what comes out of the API server with what internal/poddefault makes of the pod.
func TestThePolicyDoesWhatMillraceDoesToItsOwnPods(t *testing.T) {
	for name, c := range map[string]struct {
		policy v1alpha1.PodDefaultConflictPolicy
		pod    func(string) *corev1.Pod
	}{
		"everything":    {v1alpha1.ConflictFail, func(ns string) *corev1.Pod { return asks(pod(ns), "s3", "yes") }},
		"keep existing": {v1alpha1.ConflictKeepExisting, contrary},
		"override":      {v1alpha1.ConflictOverride, contrary},
	} {
		t.Run(name, func(t *testing.T) {
			court := newCourt(t)
			d := court.given("store", everything(c.policy))
			want := c.pod(court.namespace)
			if conflict, found := poddefault.Apply(poddefault.Pod{Pod: want}, []*v1alpha1.PodDefault{d}); found {
				t.Fatalf("conflict %+v", conflict)
			}
			// What the API server adds to any pod is taken out of the comparison by giving it to both.
			want.Labels["millrace.dev/poddefaults"] = "no"
			court.must(court.Create(t.Context(), want, client.DryRunAll))
			want.Labels["millrace.dev/poddefaults"] = "true"
			got := c.pod(court.namespace)
			court.must(court.Create(t.Context(), got, client.DryRunAll))
			want.ObjectMeta = metav1.ObjectMeta{Labels: want.Labels, Annotations: want.Annotations}
			got.ObjectMeta = metav1.ObjectMeta{Labels: got.Labels, Annotations: got.Annotations}
			// The API server tolerates nodes that are not ready before or after it asks the policy.
			byKey := cmpopts.SortSlices(func(a, b corev1.Toleration) bool { return a.Key < b.Key })
			if diff := gocmp.Diff(want, got, byKey); diff != "" {
				t.Errorf("the pod (-by Millrace +by the policy):\n%s", diff)
			}
		})
	}
}

func TestAPodThatContradictsIsRefusedWithTheField(t *testing.T) {
	c := newCourt(t)
	c.given("store", everything(v1alpha1.ConflictFail))
	p := contrary(c.namespace)
	err := c.Create(t.Context(), p, client.DryRunAll)
	if err == nil || !strings.Contains(err.Error(), "PodDefault store: metadata.labels team") {
		t.Errorf("want a refusal that names the PodDefault, got %v", err)
	}
}

func TestOnlyPodsThatAskAreTouched(t *testing.T) {
	c := newCourt(t)
	c.given("store", v1alpha1.PodDefaultSpec{Selector: metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
		{Key: "s3", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"no"}}, {Key: "millrace.dev/poddefaults", Operator: metav1.LabelSelectorOpExists},
		{Key: "never", Operator: metav1.LabelSelectorOpDoesNotExist},
	}}, Env: []corev1.EnvVar{{Name: "LEVEL", Value: "debug"}}})
	elsewhere := newCourt(t)
	for name, p := range map[string]*corev1.Pod{
		"without the label":        pod(c.namespace),
		"of Millrace":              asks(pod(c.namespace), "app.kubernetes.io/managed-by", "millrace"),
		"not chosen":               asks(pod(c.namespace), "s3", "no"),
		"with a label it must not": asks(pod(c.namespace), "never", "x"),
		"of another namespace":     asks(pod(elsewhere.namespace), "s3", "yes"),
	} {
		c.must(c.Create(t.Context(), p, client.DryRunAll))
		if len(p.Spec.Containers[0].Env) > 0 || len(p.Annotations) > 0 {
			t.Errorf("a pod %s is touched: %+v", name, p.Spec.Containers[0].Env)
		}
	}
	p := asks(pod(c.namespace), "s3", "yes")
	if c.must(c.Create(t.Context(), p, client.DryRunAll)); len(p.Spec.Containers[1].Env) != 1 {
		t.Error("a pod that asks is not touched")
	}
}
