// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/controllers"
	"github.com/millrace-ml/millrace/internal/envtest"
)

// The users of a benchmark. They are in one group, which the generated role is bound to: system:masters would be exempt
// from priority and fairness.
const (
	group       = "bench"
	managerUser = "bench-manager"
	plainUser   = "bench-plain"
)

// idleFor is how long the manager is listened to when nothing happens.
const idleFor = 30 * time.Second

// policy has the API server write down what some users ask, and nothing else.
const policy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- {level: Metadata, users: ["%s"]}
- {level: None}
`

// bench is an API server, the manager in a process of its own, and the users.
type bench struct {
	t           *testing.T
	server      *envtest.Server
	admin       client.WithWatch
	plainClient client.Client
	manager     *process
	dir         string
	kubeconfig  []byte
	audit       string
	// settings are of the configuration of managers that replace others.
	settings string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	return newBenchWith(t, nil, managerUser)
}

// newBenchWith starts a bench with further flags of kube-apiserver, which writes down what the users ask.
func newBenchWith(t *testing.T, flags map[string]string, users ...string) *bench {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "policy.yaml"), fmt.Sprintf(policy, strings.Join(users, `", "`)))
	b := &bench{t: t, dir: dir, audit: filepath.Join(dir, "audit.log")}
	all := map[string]string{
		"audit-policy-file": filepath.Join(dir, "policy.yaml"), "audit-log-path": b.audit, "audit-log-maxsize": "10000",
	}
	maps.Copy(all, flags)
	b.server = envtest.StartWith(t, all)
	scheme, err := controllers.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	b.admin = b.server.Client(t, scheme)
	b.grant()
	if b.plainClient, err = client.New(b.server.User(t, plainUser, group), client.Options{Scheme: scheme}); err != nil {
		t.Fatal(err)
	}
	b.kubeconfig = b.server.Kubeconfig(t, managerUser, group)
	b.manager = startManager(t, dir, b.kubeconfig, "")
	return b
}

// replaceManager does something while there is no manager. A new one then finds it as it is, and not how it came about.
func (b *bench) replaceManager(meanwhile func()) {
	b.t.Helper()
	b.manager.stop()
	meanwhile()
	b.manager = startManager(b.t, b.dir, b.kubeconfig, b.settings)
}

// grant binds the group to the manager's generated role.
func (b *bench) grant() {
	b.t.Helper()
	text, err := os.ReadFile("../../config/rbac/role.yaml")
	if err != nil {
		b.t.Fatal(err)
	}
	role := &rbacv1.ClusterRole{}
	if err := yaml.Unmarshal(text, role); err != nil {
		b.t.Fatal(err)
	}
	// The plain client is of the group too, and makes jobs to compare with.
	role.Rules = append(role.Rules, rbacv1.PolicyRule{APIGroups: []string{v1alpha1.Group}, Resources: []string{"trainingjobs"}, Verbs: []string{"create"}})
	// What the gathered role of trials allows.
	role.Rules = append(role.Rules, rbacv1.PolicyRule{APIGroups: []string{"batch"}, Resources: []string{"jobs"}, Verbs: []string{"create", "delete", "get", "list", "watch"}})
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: group}},
	}
	for _, o := range []client.Object{role, binding} {
		if err := b.admin.Create(b.t.Context(), o); err != nil {
			b.t.Fatal(err)
		}
	}
}

// rated is what it took to have pods made.
type rated struct {
	pods []corev1.Pod
	rate float64    // of pods made, in a second
	cpu  [4]float64 // ms for each pod until the last exists: API server, etcd, manager, the bench itself
}

// clocked makes pods and measures it until so many exist.
func (b *bench) clocked(ns string, n int, do func()) rated {
	b.t.Helper()
	taken := func() [4]time.Duration {
		return [4]time.Duration{childCPU(b.t, "kube-apiserver"), childCPU(b.t, "etcd"), b.manager.cpu(), ownCPU(b.t)}
	}
	before, began := taken(), time.Now()
	do()
	r := rated{rate: float64(n) / b.await(ns, n).Sub(began).Seconds()}
	for i, after := range taken() {
		r.cpu[i] = float64((after - before[i]).Microseconds()) / 1000 / float64(n)
	}
	list := &corev1.PodList{}
	if err := b.admin.List(b.t.Context(), list, client.InNamespace(ns)); err != nil {
		b.t.Fatal(err)
	}
	r.pods = list.Items
	return r
}

// rate has the manager make the pods of jobs: from the first job's creation, or, held back, from when all jobs exist.
func (b *bench) rate(s shape, held bool) rated {
	b.t.Helper()
	b.settle(3)
	ns := b.server.Namespace(b.t)
	if !held {
		return b.clocked(ns, s.jobs*s.pods, func() { b.makeJobs(ns, s) })
	}
	b.manager.pause()
	b.makeJobs(ns, s)
	return b.clocked(ns, s.jobs*s.pods, b.manager.resume)
}

// plain makes the same pods with a plain client.
func (b *bench) plain(like []corev1.Pod) rated {
	b.t.Helper()
	b.settle(3)
	ns := b.server.Namespace(b.t)
	return b.clocked(ns, len(like), func() { b.copy(ns, like) })
}

// same makes the same pods with a plain client, and before them the jobs, which nobody runs, and their Services.
func (b *bench) same(s shape, like []corev1.Pod) rated {
	b.t.Helper()
	b.settle(3)
	ns := b.server.Namespace(b.t)
	return b.clocked(ns, len(like), func() {
		b.parallel(s.jobs, func(ctx context.Context, i int) error {
			j := job(ns, i, s.pods)
			j.Spec.ManagedBy = "example.com/nobody"
			service := &corev1.Service{
				ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: j.Name},
				Spec:       corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone, Selector: map[string]string{"job": j.Name}},
			}
			return errors.Join(b.plainClient.Create(ctx, j), b.plainClient.Create(ctx, service))
		})
		b.copy(ns, like)
	})
}

// copy makes copies of pods.
func (b *bench) copy(ns string, like []corev1.Pod) {
	b.t.Helper()
	b.parallel(len(like), func(ctx context.Context, i int) error {
		p := like[i].DeepCopy()
		p.ObjectMeta = metav1.ObjectMeta{Name: p.Name, Namespace: ns, Labels: p.Labels}
		return b.plainClient.Create(ctx, p)
	})
}

// await returns when a namespace has so many pods. It asks for a single pod and the number of others.
func (b *bench) await(ns string, n int) time.Time {
	b.t.Helper()
	for range time.Tick(20 * time.Millisecond) {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("PodList"))
		if err := b.admin.List(b.t.Context(), list, client.InNamespace(ns), client.Limit(1)); err != nil {
			b.t.Fatal(err)
		}
		if len(list.Items) == n || list.RemainingItemCount != nil && int(*list.RemainingItemCount) == n-1 {
			break
		}
	}
	return time.Now()
}

func (b *bench) makeJobs(ns string, s shape) {
	b.t.Helper()
	b.parallel(s.jobs, func(ctx context.Context, i int) error { return b.admin.Create(ctx, job(ns, i, s.pods)) })
}

// parallel does n things, 32 at a time.
func (b *bench) parallel(n int, do func(context.Context, int) error) {
	b.t.Helper()
	slots, wg := make(chan struct{}, 32), sync.WaitGroup{}
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			if err := do(b.t.Context(), i); err != nil {
				b.t.Error(err)
			}
			<-slots
		})
	}
	wg.Wait()
	if b.t.Failed() {
		b.t.FailNow()
	}
}

func job(ns string, i, pods int) *v1alpha1.TrainingJob {
	template := corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "none"}}}}
	return &v1alpha1.TrainingJob{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: fmt.Sprintf("job-%d", i)},
		Spec: v1alpha1.TrainingJobSpec{
			Framework: v1alpha1.PyTorch,
			Roles: []v1alpha1.Role{
				{Name: "Master", Template: template}, {Name: "Worker", Replicas: new(int32(pods - 1)), Template: template},
			},
			RunPolicy: v1alpha1.RunPolicy{CleanPods: v1alpha1.CleanNone},
		},
	}
}

// request is what a user asked the API server for, such as "patch pods/status".
type request struct{ user, what string }

// asked are the manager's requests since a byte of the audit log, Lease and watches aside, and where the log ends now.
func (b *bench) asked(since int64) ([]string, int64) {
	b.t.Helper()
	all, end := b.requests(since)
	var what []string
	for _, r := range all {
		if r.user == managerUser {
			what = append(what, r.what)
		}
	}
	return what, end
}

// requests are those of all users that are written down.
func (b *bench) requests(since int64) ([]request, int64) {
	b.t.Helper()
	content, err := os.ReadFile(b.audit)
	if err != nil && !os.IsNotExist(err) {
		b.t.Fatal(err)
	}
	content = content[min(since, int64(len(content))):]
	whole := content[:strings.LastIndexByte(string(content), '\n')+1] // the last line may be half written
	var all []request
	for line := range strings.Lines(string(whole)) {
		var event struct {
			Verb string `json:"verb"`
			User struct {
				Username string `json:"username"`
			} `json:"user"`
			ObjectRef struct {
				Resource    string `json:"resource"`
				Subresource string `json:"subresource"`
			} `json:"objectRef"`
		}
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			b.t.Fatal(err)
		}
		if event.Verb == "watch" || event.ObjectRef.Resource == "leases" {
			continue
		}
		what := strings.TrimSuffix(event.Verb+" "+event.ObjectRef.Resource+"/"+event.ObjectRef.Subresource, "/")
		all = append(all, request{user: event.User.Username, what: what})
	}
	return all, since + int64(len(whole))
}

// idle is what the manager asks for while nothing happens, once it has been quiet for a moment.
func (b *bench) idle() []string {
	b.t.Helper()
	end := b.settle(10)
	<-time.After(idleFor)
	asked, _ := b.asked(end)
	return asked
}

// settle waits until nobody who is written down has asked for anything for so many seconds, and returns where the audit log ends then. Statuses that
// may wait are written seconds after pods are made, and would be counted against what is measured next.
func (b *bench) settle(seconds int) int64 {
	b.t.Helper()
	_, end := b.requests(0)
	for quiet := 0; quiet < seconds; quiet++ {
		<-time.After(time.Second)
		now, at := b.requests(end)
		if end = at; len(now) > 0 {
			quiet = 0
		}
	}
	return end
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
