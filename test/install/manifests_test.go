// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/millrace-ml/millrace/internal/config"
	"github.com/millrace-ml/millrace/internal/names"
)

// limit is what client-side apply may put into one annotation, less room for other annotations.
const limit = 255 * 1024

func TestCRDsFitClientSideApply(t *testing.T) {
	seen := 0
	for _, o := range installed(t) {
		if o.GetKind() != "CustomResourceDefinition" {
			continue
		}
		seen++
		text, err := json.Marshal(o.Object)
		if err != nil {
			t.Fatal(err)
		}
		if len(text) > limit {
			t.Errorf("%s is %d bytes of JSON, more than %d", o.GetName(), len(text), limit)
		}
	}
	bases, err := filepath.Glob("../../config/crd/bases/*.yaml")
	if err != nil || seen != len(bases) || seen == 0 {
		t.Errorf("install.yaml has %d CRDs, config/crd/bases %d (%v)", seen, len(bases), err)
	}
}

func TestManagerReadsItsConfiguration(t *testing.T) {
	var made corev1.ConfigMap
	find(t, "ConfigMap", "millrace-manager", &made)
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(made.Data["config.yaml"]), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	if c.LeaderElection.Name != leaseName(t) {
		t.Errorf("the Lease is %q, but the role allows %q", c.LeaderElection.Name, leaseName(t))
	}
}

func leaseName(t *testing.T) string {
	t.Helper()
	var role rbacv1.Role
	find(t, "Role", "millrace-leader-election", &role)
	for _, rule := range role.Rules {
		if slices.Contains(rule.Verbs, "update") && slices.Contains(rule.Resources, "leases") {
			return strings.Join(rule.ResourceNames, ",")
		}
	}
	return ""
}

// The reference in the documentation is the defaults, so that it cannot fall behind.
func TestDocumentedConfigurationIsTheDefault(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```yaml\n# config.yaml.*?\n(.*?)```").FindSubmatch(text)
	if block == nil {
		t.Fatal("docs/operations.md has no block that begins with # config.yaml")
	}
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, block[1], 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	got.Namespaces = nil // written out in the documentation, as an empty list
	if diff := cmp.Diff(config.Default(), got); diff != "" {
		t.Errorf("the documented configuration is not the default (-want +got):\n%s", diff)
	}
	fields, err := json.Marshal(config.Default())
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range regexp.MustCompile(`"(\w+)":`).FindAllStringSubmatch(string(fields), -1) {
		if !strings.Contains(string(block[1]), field[1]+":") {
			t.Errorf("docs/operations.md does not mention %s", field[1])
		}
	}
}

func TestManagerDeployment(t *testing.T) {
	var d appsv1.Deployment
	find(t, "Deployment", "millrace-manager", &d)
	c := d.Spec.Template.Spec.Containers[0]
	if c.LivenessProbe == nil || c.ReadinessProbe == nil {
		t.Error("the manager is not probed")
	}
	if c.Resources.Requests.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() || c.Resources.Limits.Memory().IsZero() {
		t.Error("the manager does not say what it needs")
	}
	grace := int64(config.Default().GracefulShutdownTimeout.Seconds())
	if *d.Spec.Template.Spec.TerminationGracePeriodSeconds <= grace {
		t.Errorf("the manager is killed before it had its %d s to stop", grace)
	}
	if *d.Spec.Replicas != 1 {
		t.Error("more than one manager without the component ha")
	}
	// A volume that one node has at a time: with a surge, a manager on another node would wait for it for ever.
	if r := d.Spec.Strategy.RollingUpdate; r == nil || r.MaxSurge.IntValue() != 0 || r.MaxUnavailable.IntValue() != 1 {
		t.Errorf("an upgrade starts the new manager before the old one has ended: %v", r)
	}
}

// What the configuration says of the store and the server is what the manifest has.
func TestStoreAndServer(t *testing.T) {
	var d appsv1.Deployment
	find(t, "Deployment", "millrace-manager", &d)
	pod, defaults := d.Spec.Template.Spec, config.Default()
	for path, source := range map[string]string{strings.TrimPrefix(defaults.Store.DSN, "sqlite:"): "store", defaults.Store.DSNFile: "dsn"} {
		at := slices.IndexFunc(pod.Containers[0].VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == filepath.Dir(path) })
		if at < 0 || pod.Containers[0].VolumeMounts[at].Name != source {
			t.Errorf("nothing is mounted for %s", path)
		}
	}
	var claim corev1.PersistentVolumeClaim
	find(t, "PersistentVolumeClaim", "millrace-store", &claim)
	if pod.SecurityContext.FSGroup == nil {
		t.Error("the volume is root's")
	}
	var service corev1.Service
	find(t, "Service", names.Server, &service)
	port := pod.Containers[0].Ports[slices.IndexFunc(pod.Containers[0].Ports, func(p corev1.ContainerPort) bool { return p.Name == "server" })]
	listens := ":" + strconv.Itoa(int(port.ContainerPort))
	if service.Spec.Ports[0].Port != names.ServerPort || listens != defaults.Server.BindAddress {
		t.Errorf("pods push to %d, the Service has %d, and %s is listened at", names.ServerPort, service.Spec.Ports[0].Port, listens)
	}
}

func TestUsersRoles(t *testing.T) {
	for name, label := range map[string]string{
		"millrace-trainingjob-admin": "rbac.authorization.k8s.io/aggregate-to-admin",
		"millrace-trainingjob-edit":  "rbac.authorization.k8s.io/aggregate-to-edit",
		"millrace-trainingjob-view":  "rbac.authorization.k8s.io/aggregate-to-view",
	} {
		var role rbacv1.ClusterRole
		find(t, "ClusterRole", name, &role)
		if role.Labels[label] != "true" {
			t.Errorf("%s is not aggregated by %s", name, label)
		}
		for _, rule := range role.Rules {
			writes := slices.ContainsFunc(rule.Verbs, func(v string) bool { return !slices.Contains([]string{"get", "list", "watch"}, v) })
			if writes && (strings.HasSuffix(name, "view") || slices.Contains(rule.Resources, "trainingjobs/status")) {
				t.Errorf("%s may %v %v", name, rule.Verbs, rule.Resources)
			}
		}
	}
}

// The manager may do what it does and no more: no wildcard, of RBAC it may bind the roles of Profiles and no other, and of Secrets it
// may make those of jobs and Profiles and look whose one of that name is.
func TestManagersRole(t *testing.T) {
	var role rbacv1.ClusterRole
	find(t, "ClusterRole", "millrace-manager", &role)
	for _, rule := range role.Rules {
		if slices.Contains(rule.APIGroups, "rbac.authorization.k8s.io") {
			binds := slices.Equal(rule.Verbs, []string{"bind"}) && slices.Equal(rule.Resources, []string{"clusterroles"}) &&
				slices.Equal(rule.ResourceNames, []string{"millrace-admin", "millrace-edit", "millrace-view"})
			keeps := slices.Equal(rule.Resources, []string{"rolebindings"}) && slices.Equal(rule.Verbs, []string{"create", "get", "list", "patch", "watch"})
			if !binds && !keeps {
				t.Errorf("the manager may %v %v %v", rule.Verbs, rule.Resources, rule.ResourceNames)
			}
		}
		for _, word := range slices.Concat(rule.APIGroups, rule.Resources, rule.Verbs) {
			if slices.Contains([]string{"*", "impersonate", "escalate"}, word) || word == "bind" && len(rule.ResourceNames) != 3 {
				t.Errorf("the manager may %v %v", rule.Verbs, rule.Resources)
			}
		}
		if slices.Contains(rule.Resources, "secrets") && !slices.Equal(rule.Verbs, []string{"create", "get"}) {
			t.Errorf("the manager may %v Secrets", rule.Verbs)
		}
	}
}

// installed are the objects of install.yaml.
func installed(t *testing.T) []unstructured.Unstructured {
	t.Helper()
	file, err := os.Open("../../config/install.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var all []unstructured.Unstructured
	for decoder := yaml.NewYAMLOrJSONDecoder(file, 4096); ; {
		var o unstructured.Unstructured
		err := decoder.Decode(&o.Object)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, o)
	}
}

func find(t *testing.T, kind, name string, into any) {
	t.Helper()
	for _, o := range installed(t) {
		if o.GetKind() != kind || o.GetName() != name {
			continue
		}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, into); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("install.yaml has no %s %s", kind, name)
}

// The permission to cordon is apart, and is for nothing else.
func TestComponentCordonLetsTheManagerPatchNodes(t *testing.T) {
	text, err := os.ReadFile("../../config/components/cordon/role.yaml")
	if err != nil {
		t.Fatal(err)
	}
	role, binding, _ := strings.Cut(string(text), "---\n")
	var may rbacv1.ClusterRole
	var whom, manager rbacv1.ClusterRoleBinding
	if err := errors.Join(yaml.Unmarshal([]byte(role), &may), yaml.Unmarshal([]byte(binding), &whom)); err != nil {
		t.Fatal(err)
	}
	want := []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"nodes"}, Verbs: []string{"patch"}}}
	if diff := cmp.Diff(want, may.Rules); diff != "" {
		t.Errorf("the role (-want +got):\n%s", diff)
	}
	find(t, "ClusterRoleBinding", "millrace-manager", &manager)
	if diff := cmp.Diff(manager.Subjects, whom.Subjects); diff != "" || whom.RoleRef.Name != may.Name {
		t.Errorf("the binding is to %s (-the manager's +got):\n%s", whom.RoleRef.Name, diff)
	}
}

// Kueue reads jobs and copies their status on the hub, and makes and deletes them elsewhere, and has no more.
func TestComponentMultiKueueLetsKueueSendJobs(t *testing.T) {
	text, err := os.ReadFile("../../config/components/multikueue/role.yaml")
	if err != nil {
		t.Fatal(err)
	}
	on := func(resource string, verbs ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{"millrace.dev"}, Resources: []string{resource}, Verbs: verbs}
	}
	want := map[string][]rbacv1.PolicyRule{
		"kueue-controller-manager": {on("trainingjobs", "get", "list", "watch"), on("trainingjobs/status", "patch")},
		"multikueue-sa":            {on("trainingjobs", "get", "list", "watch", "create", "delete")},
	}
	got := map[string][]rbacv1.PolicyRule{}
	documents := strings.Split(string(text), "---\n")
	for i := 0; i+1 < len(documents); i += 2 {
		var may rbacv1.ClusterRole
		var whom rbacv1.ClusterRoleBinding
		if err := errors.Join(yaml.Unmarshal([]byte(documents[i]), &may), yaml.Unmarshal([]byte(documents[i+1]), &whom)); err != nil {
			t.Fatal(err)
		}
		if len(whom.Subjects) != 1 || whom.RoleRef.Name != may.Name || whom.Subjects[0].Namespace != "kueue-system" {
			t.Fatalf("%s is bound to %s of %v", whom.Name, whom.RoleRef.Name, whom.Subjects)
		}
		got[whom.Subjects[0].Name] = may.Rules
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rules by service account (-want +got):\n%s", diff)
	}
}
