// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
)

// Of contended gangs the nodes hold five at a time. Each trains for so long once all of its pods run, and Guard waits so long for the rest.
const (
	contended      = 100
	contendedNodes = 40
	trains         = 2 * time.Second
	patience       = 10 // seconds
	contention     = 15 * time.Minute
)

// contender places gangs, with the limits of the scheduler.
type contender struct {
	name   string
	gang   v1alpha1.GangScheduler
	limits limits
}

var contenders = []contender{
	{"Native", v1alpha1.GangNative, limits{qps: 5000, burst: 10000, backoff: 10}},
	{"Native-podMaxBackoffSeconds-1", v1alpha1.GangNative, limits{qps: 5000, burst: 10000, backoff: 1}},
	{"Guard", v1alpha1.GangGuard, limits{qps: 5000, burst: 10000, backoff: 10}},
}

// TestGangsContend runs many more gangs than there is room for. Every one must have run in the end, and none may keep a part of itself placed.
func TestGangsContend(t *testing.T) {
	table := newTable("gang by", "all have run after", "at best", "releases", "partial starts", "longest", "manager's for each job", "scheduler's for each job")
	atBest := trains * time.Duration(contended*gangs.pods/contendedNodes)
	for _, c := range contenders {
		t.Run(c.name, func(t *testing.T) {
			b := newBenchWith(t, gangFlags, managerUser, schedulerUser)
			b.nodes(contendedNodes)
			scheduler := b.scheduler(c.limits, gangGates)
			defer scheduler.stop()
			r := b.contend(c.gang)
			table.row(c.name, r.took.Round(100*time.Millisecond), atBest, r.releases, r.partial, r.longest.Round(100*time.Millisecond), r.manager, r.scheduler)
		})
	}
	t.Logf("%d gangs of %d on %d nodes\n%s", contended, gangs.pods, contendedNodes, table)
}

// contest is how gangs that did not all fit got on.
type contest struct {
	took               time.Duration
	releases           int32
	partial            int           // attempts that let go
	longest            time.Duration // that part of an attempt was placed
	manager, scheduler string
}

func (b *bench) contend(scheduler v1alpha1.GangScheduler) contest {
	b.t.Helper()
	since := b.settle(3)
	ns := b.server.Namespace(b.t)
	ctx, stop := context.WithCancel(b.t.Context())
	defer stop()
	trainings := &trainings{bench: b, of: map[string]*training{}}
	nodes := &kubelets{bench: b, started: trainings.started, gone: trainings.gone}
	nodes.play(ctx, ns)
	var ended moments
	b.watch(ctx, ns, &v1alpha1.TrainingJob{}, func(o client.Object) {
		if meta.IsStatusConditionTrue(o.(*v1alpha1.TrainingJob).Status.Conditions, v1alpha1.ConditionSucceeded) {
			ended.see(o.GetName())
		}
	})
	began := time.Now()
	b.parallel(contended, func(ctx context.Context, i int) error {
		j := gangJob(ns, i, scheduler)
		j.Spec.Scheduling.Gang.TimeoutSeconds = new(int32(patience))
		return b.admin.Create(ctx, j)
	})
	b.within(contention, func() bool { return ended.count() == contended })
	result := contest{took: time.Since(began)}
	b.settle(3)
	asked, _ := b.requests(since)
	result.manager, result.scheduler = perJob(by(asked, managerUser), contended), perJob(by(asked, schedulerUser), contended)
	result.partial, result.longest = trainings.partial()
	result.releases = b.allRan(ns)
	return result
}

// allRan asserts that all pods that are left have succeeded, and that they are the whole of each job. It counts releases.
func (b *bench) allRan(ns string) (releases int32) {
	b.t.Helper()
	pods, jobs := &corev1.PodList{}, &v1alpha1.TrainingJobList{}
	for _, list := range []client.ObjectList{pods, jobs} {
		if err := b.admin.List(b.t.Context(), list, client.InNamespace(ns)); err != nil {
			b.t.Fatal(err)
		}
	}
	succeeded := map[string]int{}
	for _, p := range pods.Items {
		if p.Status.Phase != corev1.PodSucceeded {
			b.t.Errorf("pod %s is left %s on %q", p.Name, p.Status.Phase, p.Spec.NodeName)
		}
		succeeded[p.Labels[names.TrainingJob]]++
	}
	for _, j := range jobs.Items {
		if succeeded[j.Name] != gangs.pods {
			b.t.Errorf("of %s %d pods have succeeded", j.Name, succeeded[j.Name])
		}
		releases += j.Status.Gang.Releases
	}
	return releases
}

// trainings are what runs on the nodes: as a distributed training does, a pod waits for the others, and they end together.
type trainings struct {
	*bench
	mu sync.Mutex
	of map[string]*training // by job and attempt
}

// training is an attempt of a job.
type training struct {
	pods        []*corev1.Pod
	first, full time.Time
	left        time.Time // when the last pod went that had been placed in vain
}

func (t *trainings) find(p *corev1.Pod) *training {
	key := fmt.Sprintf("%s/%s", p.Labels[names.TrainingJob], p.Labels[names.Attempt])
	if t.of[key] == nil {
		t.of[key] = &training{}
	}
	return t.of[key]
}

func (t *trainings) started(ctx context.Context, p *corev1.Pod) {
	t.mu.Lock()
	defer t.mu.Unlock()
	attempt := t.find(p)
	if len(attempt.pods) == 0 {
		attempt.first = time.Now()
	}
	attempt.pods = append(attempt.pods, p)
	if len(attempt.pods) < gangs.pods {
		return
	}
	attempt.full = time.Now()
	time.AfterFunc(trains, func() {
		for _, p := range attempt.pods {
			err := t.say(ctx, p, corev1.PodSucceeded, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}})
			if client.IgnoreNotFound(err) != nil && ctx.Err() == nil {
				t.t.Error(err)
			}
		}
	})
}

func (t *trainings) gone(_ context.Context, p *corev1.Pod) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if attempt := t.find(p); !attempt.first.IsZero() {
		attempt.left = time.Now()
	}
}

// partial counts attempts of which only a part was placed, and tells how long part of one was.
func (t *trainings) partial() (count int, longest time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, attempt := range t.of {
		switch {
		case attempt.first.IsZero():
			continue
		case !attempt.full.IsZero():
			longest = max(longest, attempt.full.Sub(attempt.first))
		case attempt.left.IsZero():
			t.t.Errorf("%s keeps %d placed pods of %d", name, len(attempt.pods), gangs.pods)
		default:
			count++
			longest = max(longest, attempt.left.Sub(attempt.first))
		}
	}
	return count, longest
}
