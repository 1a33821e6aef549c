// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/gang"
	"github.com/millrace-ml/millrace/internal/names"
)

// gangNodes are in the cluster, and gangs are what all but twenty of them take.
const gangNodes = 500

var gangs = shape{60, 8}

// gangGates and gangFlags turn on the gang scheduling of Kubernetes itself.
const gangGates = "GenericWorkload=true"

var gangFlags = map[string]string{"feature-gates": gangGates, "runtime-config": "scheduling.k8s.io/v1beta1=true"}

// way is how the pods of jobs come about: gang says who places them, plain makes them without a job.
type way struct {
	name  string
	plain bool
	gang  v1alpha1.GangScheduler
}

// gangCluster is a cluster and what is compared in it.
type gangCluster struct {
	name  string
	flags map[string]string
	gates string
	ways  []way
}

var (
	byClient  = way{name: "plain client", plain: true}
	byJobs    = way{name: "jobs without a gang"}
	byGroups  = way{name: "plain client, with PodGroups", plain: true, gang: v1alpha1.GangNative}
	gangWorld = []gangCluster{
		{"gates off", nil, "", []way{byClient, byJobs, {name: "Guard", gang: v1alpha1.GangGuard}}},
		{"gates on", gangFlags, gangGates, []way{byClient, byGroups, {name: "Native", gang: v1alpha1.GangNative}}},
	}
	schedulerLimits = []limits{{"5000/s", 5000, 10000, 10, repetitions}, {"50/s", 50, 100, 10, 1}}
)

// TestGangs places jobs with a real scheduler on 500 nodes, and the same pods of a plain client in the same run.
func TestGangs(t *testing.T) {
	for _, c := range gangWorld {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			b := newBenchWith(t, c.flags, managerUser, plainUser, schedulerUser)
			b.nodes(gangNodes)
			table := newTable("scheduler may send", "pods by", "placed and running", "ratio", "manager's for each job", "scheduler's for each pod",
				"CPU for each pod: API server", "etcd", "scheduler", "manager")
			for _, l := range schedulerLimits {
				b.compare(c, l, table)
			}
			t.Logf("%s of %d devices on %d nodes, %s\n%s", gangs, devices, gangNodes, c.name, table)
		})
	}
}

// compare measures all ways of a cluster under a limit, one after the other and again.
func (b *bench) compare(c gangCluster, l limits, table *table) {
	b.t.Helper()
	scheduler := b.scheduler(l, c.gates)
	defer scheduler.stop()
	warm := b.placed(byJobs, nil, scheduler)
	measured := make([][]placement, len(c.ways))
	for range l.times {
		for i, w := range c.ways {
			measured[i] = append(measured[i], b.placed(w, warm.pods, scheduler))
		}
	}
	plain := middle(measured[0], func(p placement) float64 { return p.rate })
	for i, w := range c.ways {
		rate := middle(measured[i], func(p placement) float64 { return p.rate })
		cpu := func(of int) string {
			return fmt.Sprintf("%.1f ms", middle(measured[i], func(p placement) float64 { return p.cpu[of] }))
		}
		last := measured[i][l.times-1]
		table.row(l.name, w.name, pods(rate), fmt.Sprintf("%.2f", rate/plain), last.manager, last.scheduler, cpu(0), cpu(1), cpu(2), cpu(3))
		b.t.Logf("%s, %s: %s", l.name, w.name, rates(measured[i]))
	}
}

// placement is what it took to place the pods of all gangs.
type placement struct {
	pods               []corev1.Pod
	rate               float64    // of pods made, placed and running, in a second
	manager, scheduler string     // requests: for each job, for each pod
	cpu                [4]float64 // ms for each pod: API server, etcd, scheduler, manager
}

// placed has pods made, placed and run, and then ended, so that the nodes are free for the next.
func (b *bench) placed(w way, like []corev1.Pod, scheduler *process) placement {
	b.t.Helper()
	since := b.settle(3)
	ns := b.server.Namespace(b.t)
	ctx, stop := context.WithCancel(b.t.Context())
	defer stop()
	nodes := &kubelets{bench: b}
	nodes.play(ctx, ns)
	all := gangs.jobs * gangs.pods
	cpu, began := b.cpus(scheduler), time.Now()
	if w.plain {
		b.makePods(ns, w, like)
	} else {
		b.parallel(gangs.jobs, func(ctx context.Context, i int) error { return b.admin.Create(ctx, gangJob(ns, i, w.gang)) })
	}
	b.until(func() bool { return nodes.running.Load() == int64(all) })
	result := placement{rate: float64(all) / time.Since(began).Seconds()}
	b.settle(3)
	for i, after := range b.cpus(scheduler) {
		result.cpu[i] = float64((after - cpu[i]).Microseconds()) / 1000 / float64(all)
	}
	asked, _ := b.requests(since)
	result.manager, result.scheduler = perJob(by(asked, managerUser), gangs.jobs), perJob(by(asked, schedulerUser), all)
	result.pods = b.whole(ns, w)
	b.finish(ns)
	return result
}

// whole are the pods of a namespace, of which each must run on a node of its own.
func (b *bench) whole(ns string, w way) []corev1.Pod {
	b.t.Helper()
	list := &corev1.PodList{}
	if err := b.admin.List(b.t.Context(), list, client.InNamespace(ns)); err != nil {
		b.t.Fatal(err)
	}
	taken := map[string]bool{}
	for _, p := range list.Items {
		if taken[p.Spec.NodeName] || p.Status.Phase != corev1.PodRunning || (p.Spec.SchedulingGroup != nil) != (w.gang == v1alpha1.GangNative) {
			b.t.Errorf("%s: pod %s is %s on %q, group %v", w.name, p.Name, p.Status.Phase, p.Spec.NodeName, p.Spec.SchedulingGroup)
		}
		taken[p.Spec.NodeName] = true
	}
	return list.Items
}

// makePods makes the same pods with a plain client, and, where they are gangs, first what stands for them.
func (b *bench) makePods(ns string, w way, like []corev1.Pod) {
	b.t.Helper()
	row, grouped := gang.Find(w.gang)
	if grouped {
		b.parallel(gangs.jobs, func(ctx context.Context, i int) error {
			return b.plainClient.Create(ctx, row.Group(gang.Gang{Owner: job(ns, i, gangs.pods).Name, Namespace: ns, MinMember: int32(gangs.pods)}))
		})
	}
	b.parallel(len(like), func(ctx context.Context, i int) error {
		p := like[i].DeepCopy()
		p.ObjectMeta = metav1.ObjectMeta{Name: p.Name, Namespace: ns, Labels: p.Labels}
		p.Spec.NodeName, p.Status = "", corev1.PodStatus{}
		if grouped {
			row.Join(gang.Gang{}, p.Labels[names.TrainingJob], p.Labels[names.Role], p)
		}
		return b.plainClient.Create(ctx, p)
	})
}

// cpus is the processor time of the API server, etcd, the scheduler and the manager.
func (b *bench) cpus(scheduler *process) [4]time.Duration {
	b.t.Helper()
	return [4]time.Duration{childCPU(b.t, "kube-apiserver"), childCPU(b.t, "etcd"), scheduler.cpu(), b.manager.cpu()}
}

// gangJob is a job of the shape of gangs, each pod of which takes a whole node; without a gang when nobody is named.
func gangJob(ns string, i int, scheduler v1alpha1.GangScheduler) *v1alpha1.TrainingJob {
	j := job(ns, i, gangs.pods)
	for k := range j.Spec.Roles {
		j.Spec.Roles[k].Template.Spec.Containers[0].Resources.Limits = corev1.ResourceList{gpu: *resource.NewQuantity(devices, resource.DecimalSI)}
	}
	if scheduler != "" {
		j.Spec.Scheduling = &v1alpha1.Scheduling{Gang: &v1alpha1.Gang{Scheduler: scheduler}}
	}
	return j
}

// by counts the requests of a user.
func by(all []request, user string) map[string]int {
	count := map[string]int{}
	for _, r := range all {
		if r.user == user {
			count[r.what]++
		}
	}
	return count
}

func middle[T any](all []T, of func(T) float64) float64 {
	var values []float64
	for _, p := range all {
		values = append(values, of(p))
	}
	return median(values)
}

func rates(all []placement) string {
	var text []string
	for _, p := range all {
		text = append(text, pods(p.rate))
	}
	return strings.Join(text, ", ")
}
