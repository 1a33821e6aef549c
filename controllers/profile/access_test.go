// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/envtest"
)

type ctxt = context.Context

func quantity(text string) resource.Quantity { return resource.MustParse(text) }

// install makes the roles as they are in config/rbac, filled in as the controller manager of a cluster does, and gives the manager its.
func (b *bench) install() {
	b.t.Helper()
	var roles []rbacv1.ClusterRole
	for _, file := range []string{"role.yaml", "users.yaml", "profiles.yaml"} {
		data, err := os.ReadFile("../../config/rbac/" + file)
		b.must(err)
		decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
		for {
			var role rbacv1.ClusterRole
			if err := decoder.Decode(&role); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				b.t.Fatal(err)
			}
			roles = append(roles, role)
		}
	}
	for i := range roles {
		role := roles[i].DeepCopy()
		if role.AggregationRule != nil {
			role.Rules = aggregate(b.t, role, roles)
		}
		b.must(client.IgnoreAlreadyExists(b.Create(b.t.Context(), role)))
	}
	b.must(client.IgnoreAlreadyExists(b.Create(b.t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "manager"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "millrace-manager"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "manager"}},
	})))
}

func aggregate(t *testing.T, role *rbacv1.ClusterRole, all []rbacv1.ClusterRole) []rbacv1.PolicyRule {
	t.Helper()
	var rules []rbacv1.PolicyRule
	for i := range role.AggregationRule.ClusterRoleSelectors {
		selector, err := metav1.LabelSelectorAsSelector(&role.AggregationRule.ClusterRoleSelectors[i])
		if err != nil {
			t.Fatal(err)
		}
		for _, other := range all {
			if selector.Matches(labels.Set(other.Labels)) {
				rules = append(rules, other.Rules...)
			}
		}
	}
	if len(rules) == 0 {
		t.Fatalf("nothing is aggregated into %s", role.Name)
	}
	return rules
}

// deed is something to try. It is allowed when the API server does not forbid it; whatever else it says of it, such as that a pod is
// not on a node, comes after.
type deed struct {
	name string
	try  func(context.Context, client.Client, *kubernetes.Clientset) error
	// who may do it.
	may []string
}

func in(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "matrix", Name: name} }

func create(o client.Object) func(context.Context, client.Client, *kubernetes.Clientset) error {
	return func(ctx context.Context, c client.Client, _ *kubernetes.Clientset) error {
		return c.Create(ctx, o.DeepCopyObject().(client.Object), client.DryRunAll)
	}
}

func list(l client.ObjectList) func(context.Context, client.Client, *kubernetes.Clientset) error {
	return func(ctx context.Context, c client.Client, _ *kubernetes.Clientset) error {
		return c.List(ctx, l.DeepCopyObject().(client.ObjectList), client.InNamespace("matrix"))
	}
}

// post sends a request to a subresource of the pod.
func post(subresource string) func(context.Context, client.Client, *kubernetes.Clientset) error {
	return func(ctx context.Context, _ client.Client, set *kubernetes.Clientset) error {
		return set.CoreV1().RESTClient().Post().Namespace("matrix").Resource("pods").Name("work").SubResource(subresource).Do(ctx).Error()
	}
}

func binding(role string) *rbacv1.RoleBinding {
	return &rbacv1.RoleBinding{
		ObjectMeta: in("given"), RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "eve"}},
	}
}

// The people of the matrix.
var (
	admins  = []string{"owner", "admin"}
	editors = []string{"owner", "admin", "editor", "group editor", "own default-editor"}
	readers = []string{"owner", "admin", "editor", "group editor", "own default-editor", "viewer", "own default-viewer"}
	nobody  []string
)

func pod() *corev1.Pod {
	return &corev1.Pod{ObjectMeta: in("work"), Spec: corev1.PodSpec{
		ServiceAccountName: "default-editor", Containers: []corev1.Container{{Name: "main", Image: "image"}},
	}}
}

// onNode is a pod that would have the node, and so everything on it.
func onNode(change func(*corev1.PodSpec)) *corev1.Pod {
	p := pod()
	p.Name = "node"
	change(&p.Spec)
	return p
}

func job() *v1alpha1.TrainingJob {
	return &v1alpha1.TrainingJob{ObjectMeta: in("job"), Spec: v1alpha1.TrainingJobSpec{Framework: v1alpha1.PyTorch, Roles: []v1alpha1.Role{{
		Name: "Master", Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "pytorch", Image: "image"}}}},
	}}}}
}

// elsewhere are the addresses of a Service without a selector: whatever pod they name, what reaches the Service reaches it.
func elsewhere() *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Endpoints", "metadata": map[string]any{"namespace": "matrix", "name": "elsewhere"},
		"subsets": []any{map[string]any{"addresses": []any{map[string]any{"ip": "10.9.8.7"}}, "ports": []any{map[string]any{"port": int64(8888)}}}},
	}}
}

var deeds = []deed{
	{"list training jobs", list(&v1alpha1.TrainingJobList{}), readers},
	{"create a training job", create(job()), editors},
	{"list pod defaults", list(&v1alpha1.PodDefaultList{}), readers},
	{"create a pod default", create(&v1alpha1.PodDefault{ObjectMeta: in("d")}), editors},
	{"list notebooks", list(&v1alpha1.NotebookList{}), readers},
	{"create a notebook", create(&v1alpha1.Notebook{ObjectMeta: in("lab"), Spec: v1alpha1.NotebookSpec{Image: "jupyter"}}), editors},
	{"list experiments", list(&v1alpha1.ExperimentList{}), readers},
	{"create an experiment", create(&v1alpha1.Experiment{ObjectMeta: in("search")}), editors},
	{"list suggestions", list(&v1alpha1.SuggestionList{}), readers},
	{"create a suggestion", create(&v1alpha1.Suggestion{ObjectMeta: in("next")}), editors},
	{"list trials", list(&v1alpha1.TrialList{}), readers},
	{"create a trial", create(&v1alpha1.Trial{ObjectMeta: in("try")}), editors},
	{"list pods", list(&corev1.PodList{}), readers},
	{"create a pod", create(pod()), editors},
	{"run as root of the node", create(onNode(func(s *corev1.PodSpec) {
		s.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: new(true)}
	})), nobody},
	{"read the node's files", create(onNode(func(s *corev1.PodSpec) {
		s.Volumes = []corev1.Volume{{Name: "n", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}}}
	})), nobody},
	{"listen on the node's network", create(onNode(func(s *corev1.PodSpec) { s.HostNetwork = true })), nobody},
	{"exec", post("exec"), editors},
	{"attach", post("attach"), editors},
	{"forward a port", post("portforward"), editors},
	{"reach a pod through the API server", post("proxy"), editors},
	{"list secrets", list(&corev1.SecretList{}), editors},
	{"create a secret", create(&corev1.Secret{ObjectMeta: in("s")}), editors},
	{"list role bindings", list(&rbacv1.RoleBindingList{}), admins},
	{"make somebody a viewer", create(binding("millrace-view")), admins},
	{"make somebody an admin", create(binding("millrace-admin")), admins},
	{"make somebody cluster-admin of the namespace", create(binding("cluster-admin")), nobody},
	{"create a role beyond one's own", create(&rbacv1.Role{ObjectMeta: in("r"), Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}},
	}}), nobody},
	{"lead a Service to pods of another namespace", create(elsewhere()), nobody},
	{"lead a Service there by a slice", create(&discoveryv1.EndpointSlice{ObjectMeta: in("elsewhere"), AddressType: discoveryv1.AddressTypeIPv4}), nobody},
	{"raise the quota", create(&corev1.ResourceQuota{ObjectMeta: in("q")}), nobody},
	{"open the network", func(ctx context.Context, c client.Client, _ *kubernetes.Clientset) error {
		return c.DeleteAllOf(ctx, &networkingv1.NetworkPolicy{}, client.InNamespace("matrix"), client.DryRunAll)
	}, admins},
	{"relabel the namespace", func(ctx context.Context, c client.Client, _ *kubernetes.Clientset) error {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "matrix"}}
		return c.Patch(ctx, ns, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"a":"b"}}}`)), client.DryRunAll)
	}, nobody},
	{"change the Profile", func(ctx context.Context, c client.Client, _ *kubernetes.Clientset) error {
		p := &v1alpha1.Profile{ObjectMeta: metav1.ObjectMeta{Name: "matrix"}}
		return c.Patch(ctx, p, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"owner":{"name":"eve"}}}`)), client.DryRunAll)
	}, nobody},
	{"list pods of all namespaces", func(ctx context.Context, c client.Client, _ *kubernetes.Clientset) error {
		return c.List(ctx, &corev1.PodList{})
	}, nobody},
}

// staffed is a Profile with a member of each role, and a group.
func staffed(name string) *v1alpha1.Profile {
	p := owned(name, "owner")
	p.Spec.Members = []v1alpha1.Member{
		member("admin", v1alpha1.RoleAdmin), member("editor", v1alpha1.RoleEditor), member("viewer", v1alpha1.RoleViewer),
		{Subject: v1alpha1.Subject{Kind: v1alpha1.UserGroup, Name: "researchers"}, Role: v1alpha1.RoleEditor},
	}
	return p
}

func TestWhoMayDoWhat(t *testing.T) {
	b := newBench(t)
	server := envtest.Start(t)
	b.make(staffed("matrix"))
	b.make(owned("other", "stranger"))
	b.must(b.Create(t.Context(), pod()))
	people := map[string]*rest.Config{"group editor": server.User(t, "somebody", "researchers")}
	for _, user := range []string{"owner", "admin", "editor", "viewer", "stranger"} {
		people[user] = server.User(t, user)
	}
	for who, account := range map[string]string{
		"own default-editor": "matrix:default-editor", "own default-viewer": "matrix:default-viewer", "another's default-editor": "other:default-editor",
	} {
		namespace, _, _ := strings.Cut(account, ":")
		people[who] = rest.CopyConfig(server.Config)
		people[who].Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:" + account, Groups: []string{
			"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated",
		}}
	}
	for who, config := range people {
		c, err := client.New(config, client.Options{Scheme: b.Scheme()})
		b.must(err)
		set, err := kubernetes.NewForConfig(config)
		b.must(err)
		for _, d := range deeds {
			err := d.try(t.Context(), c, set)
			got, want := !apierrors.IsForbidden(err), slices.Contains(d.may, who)
			if got != want {
				t.Errorf("%s: %s: allowed is %v, want %v (%v)", who, d.name, got, want, fmt.Sprint(err))
			}
		}
	}
}
