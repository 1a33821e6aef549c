// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
)

// life is what jobs took from their creation to their success.
type life struct {
	first, running []time.Duration
	writes         map[string]int
	cpu            time.Duration
}

func (l life) total() int {
	sum := 0
	for n := range maps.Values(l.writes) {
		sum += n
	}
	return sum
}

// moments are when something was first seen of each job.
type moments struct {
	mu sync.Mutex
	at map[string]time.Time
}

func (m *moments) see(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.at == nil {
		m.at = map[string]time.Time{}
	}
	if _, seen := m.at[name]; !seen {
		m.at[name] = time.Now()
	}
}

func (m *moments) when(name string) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at[name]
}

func (m *moments) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.at)
}

// since are the durations from other moments to these.
func (m *moments) since(begin *moments) []time.Duration {
	var all []time.Duration
	for name, at := range m.at {
		all = append(all, at.Sub(begin.at[name]))
	}
	return all
}

// life makes jobs in a namespace of their own and plays their kubelet until all have succeeded.
func (b *bench) life(s shape) life { return b.eventful(s, nil) }

// eventful is a life to which something happens when all jobs run.
func (b *bench) eventful(s shape, happen func(ns string)) life {
	b.t.Helper()
	ns := b.server.Namespace(b.t)
	_, since := b.asked(0)
	cpu := b.manager.cpu()
	ctx, stop := context.WithCancel(b.t.Context())
	defer stop()
	var created, first, running, ended moments
	b.watch(ctx, ns, &corev1.Pod{}, func(o client.Object) { first.see(o.GetLabels()[names.TrainingJob]) })
	b.watch(ctx, ns, &v1alpha1.TrainingJob{}, func(o client.Object) {
		conditions := o.(*v1alpha1.TrainingJob).Status.Conditions
		if meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionRunning) {
			running.see(o.GetName())
		}
		if meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionSucceeded) {
			ended.see(o.GetName())
		}
	})
	b.kubelet(ctx, ns)
	b.parallel(s.jobs, func(ctx context.Context, i int) error {
		j := job(ns, i, s.pods)
		created.see(j.Name)
		return b.admin.Create(ctx, j)
	})
	b.until(func() bool { return running.count() == s.jobs })
	if happen != nil {
		happen(ns)
	}
	b.finish(ns)
	b.until(func() bool { return ended.count() == s.jobs })
	took := b.manager.cpu() - cpu
	stop()
	asked, _ := b.asked(since)
	return life{first: first.since(&created), running: running.since(&created), writes: writesOf(asked), cpu: took}
}

// writesOf counts requests that change something.
func writesOf(asked []string) map[string]int {
	reads := []string{"get", "list"}
	writes := map[string]int{}
	for _, request := range asked {
		if verb, _, _ := strings.Cut(request, " "); !slices.Contains(reads, verb) {
			writes[request]++
		}
	}
	return writes
}

func (b *bench) until(done func() bool) {
	b.t.Helper()
	b.within(5*time.Minute, done)
}

func (b *bench) within(limit time.Duration, done func() bool) {
	b.t.Helper()
	deadline := time.After(limit)
	for !done() {
		select {
		case <-deadline:
			b.t.Fatal("the jobs do not get on")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// watch tells of every object of a namespace that is made or changes. A watch that breaks, as one does that is read too slowly, is
// opened again.
func (b *bench) watch(ctx context.Context, ns string, of client.Object, tell func(client.Object)) {
	b.t.Helper()
	b.handle(ctx, ns, of, toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { tell(o.(client.Object)) },
		UpdateFunc: func(_, o any) { tell(o.(client.Object)) },
	})
}

// handle is watch for who tells them apart.
func (b *bench) handle(ctx context.Context, ns string, of client.Object, handler toolscache.ResourceEventHandlerFuncs) {
	b.t.Helper()
	watched, err := cache.New(b.server.Config, cache.Options{
		Scheme: b.admin.Scheme(), DefaultNamespaces: map[string]cache.Config{ns: {}},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	informer, err := watched.GetInformer(ctx, of)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := informer.AddEventHandler(handler); err != nil {
		b.t.Fatal(err)
	}
	go func() {
		if err := watched.Start(ctx); err != nil && ctx.Err() == nil {
			b.t.Error(err)
		}
	}()
	watched.WaitForCacheSync(ctx)
}

// kubelet says of every pod that it runs, as soon as it is there.
func (b *bench) kubelet(ctx context.Context, ns string) {
	b.t.Helper()
	slots := make(chan struct{}, 16)
	b.watch(ctx, ns, &corev1.Pod{}, func(o client.Object) {
		p := o.(*corev1.Pod).DeepCopy()
		if p.Status.Phase != corev1.PodPending {
			return
		}
		slots <- struct{}{}
		go func() {
			defer func() { <-slots }()
			if err := b.say(ctx, p, corev1.PodRunning, corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}); err != nil && ctx.Err() == nil {
				b.t.Error(err)
			}
		}()
	})
}

// finish says of every pod that it has succeeded.
func (b *bench) finish(ns string) {
	b.t.Helper()
	list := &corev1.PodList{}
	if err := b.admin.List(b.t.Context(), list, client.InNamespace(ns)); err != nil {
		b.t.Fatal(err)
	}
	b.parallel(len(list.Items), func(ctx context.Context, i int) error {
		return b.say(ctx, &list.Items[i], corev1.PodSucceeded, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}})
	})
}

// say writes a pod's status as its kubelet would.
func (b *bench) say(ctx context.Context, p *corev1.Pod, phase corev1.PodPhase, state corev1.ContainerState) error {
	before := p.DeepCopy()
	p.Status.Phase = phase
	p.Status.StartTime = new(metav1.Now())
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: p.Spec.Containers[0].Name, Ready: phase == corev1.PodRunning, State: state}}
	return b.admin.Status().Patch(ctx, p, client.MergeFrom(before))
}
