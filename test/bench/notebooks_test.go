// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
)

// The notebooks of the bench: some run, the others are stopped. Beside them single ones are started one after the other.
const (
	notebooksRunning = 1000
	notebooksStopped = 4000
	notebookTeams    = 50
	notebooksLate    = 50
	notebookMemory   = 300 << 20
)

// TestNotebooks sets up notebooks, listens whether they cost anything at rest, without culling and with it, and times how soon a notebook is
// Ready after its pod, while all servers are asked and while none is.
func TestNotebooks(t *testing.T) {
	b := newBenchWith(t, map[string]string{"service-cluster-ip-range": "10.0.0.0/16"}, managerUser)
	jupyter := playJupyter(t)
	settings := func(idle string) string {
		return fmt.Sprintf(`notebook: {idleAfter: %s, probe: {every: 10s, proxy: %q}}`, idle, jupyter.URL)
	}
	n := b.playNotebooks()
	table := newTable("notebooks", "all Ready after", "requests for each", "CPU of the manager", "RSS")
	row := func(what string, count int, stopped bool) {
		table.row(append([]any{fmt.Sprintf("%d %s", count, what)}, n.setUp(what, count, stopped)...)...)
	}
	b.settings = settings("0s")
	b.replaceManager(func() {})
	row("stopped", notebooksStopped, true)
	row("running", notebooksRunning, false)
	t.Log("notebooks are set up\n" + table.String())
	n.rest("without culling")
	b.settings = settings("24h")
	b.replaceManager(func() {})
	n.rest("with culling")
	quiet := n.late("quiet", func() { jupyter.await(false) })
	busy := n.late("asked", func() { jupyter.await(true) })
	if len(jupyter.rounds()) == 0 {
		t.Fatal("nobody has asked the servers")
	}
	var rounds []time.Duration
	for _, r := range jupyter.rounds() {
		rounds = append(rounds, r.to.Sub(r.from))
		if r.questions < 3*notebooksRunning {
			t.Errorf("a round had %d questions, want 3 to each of %d servers", r.questions, notebooksRunning)
		}
	}
	t.Logf("%d rounds of questions to %d servers that take 20 ms for each of three answers: p50 %s, longest %s", len(rounds), notebooksRunning, ms(rounds, 50), ms(rounds, 100))
	t.Logf("from Ready of a pod to Ready of its notebook, %d times each: between rounds p50 %s p99 %s, in a round p50 %s p99 %s",
		notebooksLate, ms(quiet, 50), ms(quiet, 99), ms(busy, 50), ms(busy, 99))
}

// notebookBench is the cluster that notebooks see: what makes pods of StatefulSets, kubelets, and who looks on.
type notebookBench struct {
	*bench
	pods, ready moments
}

// playNotebooks plays the controller of StatefulSets and the kubelets until the test ends.
func (b *bench) playNotebooks() *notebookBench {
	b.t.Helper()
	n := &notebookBench{bench: b}
	ctx := b.t.Context()
	for i := range notebookTeams {
		if err := b.admin.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("team-%d", i)}}); err != nil {
			b.t.Fatal(err)
		}
	}
	play := func(do func(context.Context, client.Object) error) func(client.Object) {
		slots := make(chan struct{}, 16)
		return func(o client.Object) {
			slots <- struct{}{}
			go func() {
				defer func() { <-slots }()
				if err := client.IgnoreNotFound(do(ctx, o.DeepCopyObject().(client.Object))); err != nil && ctx.Err() == nil {
					b.t.Error(err)
				}
			}()
		}
	}
	b.watch(ctx, "", &v1alpha1.Notebook{}, func(o client.Object) {
		nb := o.(*v1alpha1.Notebook)
		if nb.Status.ObservedGeneration == nb.Generation && meta.IsStatusConditionTrue(nb.Status.Conditions, v1alpha1.ConditionReady) {
			n.ready.see(nb.Namespace + "/" + nb.Name)
		}
	})
	b.watch(ctx, "", &appsv1.StatefulSet{}, play(n.set))
	b.watch(ctx, "", &corev1.Pod{}, play(n.serve))
	return n
}

// set makes what the controller of StatefulSets does: the claim and the pod of one that has a replica.
func (n *notebookBench) set(ctx context.Context, o client.Object) error {
	set := o.(*appsv1.StatefulSet)
	if set.Status.ObservedGeneration == set.Generation {
		return nil
	}
	owner := metav1.NewControllerRef(set, appsv1.SchemeGroupVersion.WithKind("StatefulSet"))
	pod := &corev1.Pod{ObjectMeta: *set.Spec.Template.ObjectMeta.DeepCopy(), Spec: *set.Spec.Template.Spec.DeepCopy()}
	made := []client.Object{pod}
	for _, c := range set.Spec.VolumeClaimTemplates {
		volume := corev1.Volume{Name: c.Name}
		c.Name, c.Namespace = fmt.Sprintf("%s-%s-0", c.Name, set.Name), set.Namespace
		volume.PersistentVolumeClaim = &corev1.PersistentVolumeClaimVolumeSource{ClaimName: c.Name}
		pod.Spec.Volumes = append(pod.Spec.Volumes, volume)
		made = append(made, &c)
	}
	pod.Name, pod.Namespace, pod.OwnerReferences = set.Name+"-0", set.Namespace, []metav1.OwnerReference{*owner}
	if *set.Spec.Replicas == 0 {
		if err := client.IgnoreNotFound(n.admin.Delete(ctx, pod, client.GracePeriodSeconds(0))); err != nil {
			return err
		}
		made = nil
	}
	for _, o := range made {
		if err := client.IgnoreAlreadyExists(n.admin.Create(ctx, o)); err != nil {
			return err
		}
	}
	before := set.DeepCopy()
	set.Status.ObservedGeneration = set.Generation
	return n.admin.Status().Patch(ctx, set, client.MergeFrom(before))
}

// serve says of a pod that its server is up.
func (n *notebookBench) serve(ctx context.Context, o client.Object) error {
	p := o.(*corev1.Pod)
	if p.Status.Phase != corev1.PodPending {
		return nil
	}
	before := p.DeepCopy()
	p.Status.Phase = corev1.PodRunning
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()}}
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: p.Spec.Containers[0].Name, Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
	}}
	n.pods.see(p.Namespace + "/" + p.Labels[names.Notebook])
	return n.admin.Status().Patch(ctx, p, client.MergeFrom(before))
}

// create makes a notebook with a workspace.
func (n *notebookBench) create(ctx context.Context, name string, i int, stopped bool) error {
	nb := &v1alpha1.Notebook{ObjectMeta: metav1.ObjectMeta{Namespace: fmt.Sprintf("team-%d", i%notebookTeams), Name: fmt.Sprintf("%s-%d", name, i)}}
	nb.Spec.Image, nb.Spec.Stopped = "jupyter", &stopped
	nb.Spec.CPU, nb.Spec.Memory = new(resource.MustParse("1")), new(resource.MustParse("2Gi"))
	nb.Spec.Workspace = &v1alpha1.Workspace{Size: new(resource.MustParse("10Gi"))}
	return n.admin.Create(ctx, nb)
}

// setUp makes notebooks and returns how long it took until all were Ready, and what it cost.
func (n *notebookBench) setUp(name string, count int, stopped bool) []any {
	n.t.Helper()
	since, cpu, already, began := n.settle(3), n.manager.cpu(), n.ready.count(), time.Now()
	n.parallel(count, func(ctx context.Context, i int) error { return n.create(ctx, name, i, stopped) })
	n.within(20*time.Minute, func() bool { return n.ready.count() == already+count || n.t.Failed() })
	took := time.Since(began)
	n.settle(10)
	asked, _ := n.asked(since)
	all := map[string]int{}
	for _, request := range asked {
		all[request]++
	}
	return []any{
		took.Round(100 * time.Millisecond), perJob(all, count), (n.manager.cpu() - cpu).Round(10 * time.Millisecond), fmt.Sprintf("%d MiB", n.manager.rss()>>20),
	}
}

// rest asserts that the manager asks for nothing while nothing happens, and that it is small.
func (n *notebookBench) rest(how string) {
	n.t.Helper()
	if asked := n.idle(); len(asked) > 0 {
		n.t.Errorf("idle for %s %s the manager asked for %v", idleFor, how, asked)
	}
	rss := n.manager.rss()
	n.t.Logf("%s: %d MiB", how, rss>>20)
	if rss > notebookMemory {
		n.t.Errorf("%d MiB %s, want at most %d", rss>>20, how, notebookMemory>>20)
	}
}

// late starts notebooks one after the other and returns how long after its pod each was Ready. Before each it waits for a moment.
func (n *notebookBench) late(name string, wait func()) []time.Duration {
	n.t.Helper()
	var all []time.Duration
	for i := range notebooksLate {
		wait()
		if err := n.create(n.t.Context(), name, i, false); err != nil {
			n.t.Fatal(err)
		}
		key := types.NamespacedName{Namespace: fmt.Sprintf("team-%d", i), Name: fmt.Sprintf("%s-%d", name, i)}.String()
		n.until(func() bool { return !n.ready.when(key).IsZero() })
		all = append(all, n.ready.when(key).Sub(n.pods.when(key)))
	}
	return all
}

// fakeJupyter answers for all notebooks, to whom its prober comes through it as a proxy. A round of questions is one without a longer pause.
type fakeJupyter struct {
	*httptest.Server
	mu    sync.Mutex
	spans []span
}

type span struct {
	from, to  time.Time
	questions int
}

// pause is what lies between two rounds at least.
const pause = 3 * time.Second

func playJupyter(t *testing.T) *fakeJupyter {
	t.Helper()
	used := time.Now().UTC().Format(time.RFC3339)
	f := &fakeJupyter{}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-time.After(20 * time.Millisecond)
		f.note(time.Now())
		if !strings.HasPrefix(r.URL.Path, "/notebook/") {
			http.NotFound(w, r)
			return
		}
		answer := "[]"
		if strings.HasSuffix(r.URL.Path, "status") {
			answer = fmt.Sprintf(`{"last_activity":%q}`, used)
		}
		if _, err := fmt.Fprint(w, answer); err != nil {
			t.Log(err) // a manager that is stopped does not listen
		}
	}))
	t.Cleanup(f.Close)
	return f
}

func (f *fakeJupyter) note(at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if last := len(f.spans) - 1; last >= 0 && at.Sub(f.spans[last].to) < pause {
		f.spans[last].to = at
		f.spans[last].questions++
		return
	}
	f.spans = append(f.spans, span{at, at, 1})
}

// rounds are those that are over.
func (f *fakeJupyter) rounds() []span {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := slices.Clone(f.spans)
	if last := len(all) - 1; last >= 0 && time.Since(all[last].to) < pause {
		all = all[:last]
	}
	return all
}

// await waits until a round is under way, or none is.
func (f *fakeJupyter) await(on bool) {
	for {
		f.mu.Lock()
		last := len(f.spans) - 1
		is := last >= 0 && time.Since(f.spans[last].to) < 50*time.Millisecond
		f.mu.Unlock()
		if is == on {
			return
		}
		<-time.After(5 * time.Millisecond)
	}
}
