// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package istio

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/config/crd"
	"github.com/millrace-ml/millrace/controllers/notebook"
	"github.com/millrace-ml/millrace/controllers/profile"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/offline"
	tenants "github.com/millrace-ml/millrace/internal/profile"
	"github.com/millrace-ml/millrace/internal/route"
)

// noon is now.
var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// settings are the manager's: the defaults, with the gateway of the Gateway API beside Istio's.
func settings(kind v1alpha1.RouteKind) (route.Settings, tenants.Settings) {
	s := tenants.Default()
	s.Mesh.Gateways = append(s.Mesh.Gateways, gatewayAPI)
	return route.Settings{
		Kind: kind, IstioGateway: "kubeflow/kubeflow-gateway", Gateway: "gateways/main", UserHeader: s.Mesh.UserHeader,
	}, s
}

// estate is what there is in a cluster whose teams are those of testdata, with routes of a kind.
func estate(t *testing.T, kind v1alpha1.RouteKind) []*unstructured.Unstructured {
	t.Helper()
	schemas, err := offline.Load(crd.FS)
	if err != nil {
		t.Fatal(err)
	}
	routes, teams := settings(kind)
	all := read(t, "testdata/mesh.yaml")
	for i, o := range read(t, "testdata/teams.yaml") {
		stored, refused := schemas.Admit(t.Context(), o, "")
		if !refused.Empty() {
			t.Fatalf("%s %s: %v", o.GetKind(), o.GetName(), refused)
		}
		if stored.GetKind() == profile.Name {
			all = append(all, team(t, stored, teams)...)
			continue
		}
		all = append(all, server(t, stored, routes, fmt.Sprint("10.1.1.", i))...)
	}
	return all
}

// team is what a Profile makes.
func team(t *testing.T, o *unstructured.Unstructured, s tenants.Settings) []*unstructured.Unstructured {
	t.Helper()
	p := typed[v1alpha1.Profile](t, o)
	w := profile.World{Mesh: true, Settings: s}
	w = profile.Kind(nil, s).Foresee(w, profile.Plan(p, w, noon))
	return planned(t, p, profile.Plan(p, w, noon))
}

// server is what a Notebook makes, and what Kubernetes makes of that: its pod, and the endpoint of its Service.
func server(t *testing.T, o *unstructured.Unstructured, s route.Settings, address string) []*unstructured.Unstructured {
	t.Helper()
	nb := typed[v1alpha1.Notebook](t, o)
	all := planned(t, nb, notebook.Plan(nb, notebook.World{Settings: notebook.Settings{Route: s}, Served: route.Kinds(), Editor: true}, noon))
	for _, made := range all {
		if made.GetKind() == "StatefulSet" {
			return append(all, pod(t, typed[appsv1.StatefulSet](t, made), address)...)
		}
	}
	t.Fatalf("no StatefulSet for %s", nb.Name)
	return nil
}

func pod(t *testing.T, set *appsv1.StatefulSet, address string) []*unstructured.Unstructured {
	t.Helper()
	p := &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Name: set.Name + "-0", Namespace: set.Namespace, Labels: set.Spec.Template.Labels},
		Spec:       set.Spec.Template.Spec,
		Status: corev1.PodStatus{
			PodIP: address, Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		},
	}
	p.Spec.NodeName = "node"
	port := p.Spec.Containers[0].Ports[0].ContainerPort
	p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "istio-proxy", Image: "proxyv2:1"})
	slice := &discoveryv1.EndpointSlice{
		TypeMeta: metav1.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"},
		ObjectMeta: metav1.ObjectMeta{
			Name: set.Name, Namespace: set.Namespace, Labels: map[string]string{discoveryv1.LabelServiceName: set.Name},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints: []discoveryv1.Endpoint{{
			Addresses: []string{address}, TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: p.Name, Namespace: p.Namespace},
		}},
		Ports: []discoveryv1.EndpointPort{{Name: new("http-" + set.Name), Port: &port}},
	}
	return []*unstructured.Unstructured{loose(t, p), loose(t, slice)}
}

func planned(t *testing.T, owner engine.Owner, plan engine.Plan) []*unstructured.Unstructured {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	if err := engine.Own(owner, plan, scheme); err != nil {
		t.Fatal(err)
	}
	var all []*unstructured.Unstructured
	for _, o := range plan.Apply {
		all = append(all, loose(t, o))
	}
	return all
}

func typed[T any](t *testing.T, o *unstructured.Unstructured) *T {
	t.Helper()
	into := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, into); err != nil {
		t.Fatal(err)
	}
	return into
}

func loose(t *testing.T, o any) *unstructured.Unstructured {
	t.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		t.Fatal(err)
	}
	return &unstructured.Unstructured{Object: content}
}

func read(t *testing.T, file string) []*unstructured.Unstructured {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []*unstructured.Unstructured
	for _, d := range offline.Split(file, text) {
		objects, problems := d.Objects()
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		for _, o := range objects {
			all = append(all, o.Unstructured)
		}
	}
	return all
}

// manifests are the objects that are Istio's, and the others that pilot reads, as YAML.
func manifests(t *testing.T, all []*unstructured.Unstructured) (istio, kube string) {
	t.Helper()
	var texts [2][]string
	for _, o := range all {
		text, err := yaml.Marshal(o.Object)
		if err != nil {
			t.Fatal(err)
		}
		group := o.GroupVersionKind().Group
		switch {
		case strings.HasSuffix(group, ".istio.io"):
			texts[0] = append(texts[0], string(text))
		case strings.HasPrefix(group, "gateway.") || strings.HasPrefix(group, "discovery.") || group == "":
			texts[1] = append(texts[1], string(text))
		}
	}
	return strings.Join(texts[0], "\n---\n"), strings.Join(texts[1], "\n---\n")
}
