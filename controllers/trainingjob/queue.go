// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/framework"
	"github.com/millrace-ml/millrace/internal/gang"
	"github.com/millrace-ml/millrace/internal/kueue"
	"github.com/millrace-ml/millrace/internal/names"
)

// queueOf is the queue a job waits in, empty when it waits in none.
func queueOf(job *v1alpha1.TrainingJob) string {
	if job.Spec.Scheduling == nil {
		return ""
	}
	return job.Spec.Scheduling.Queue
}

// queues is true when the cluster has queues.
func (w World) queues() bool { return slices.Contains(w.Served, kueue.WorkloadKind) }

// parked is true for a job that its queue keeps from having pods. One whose pods were admitted before Kueue went away goes on.
func parked(job *v1alpha1.TrainingJob, w World) bool {
	switch {
	case queueOf(job) == "" || ended(job) || queuesBeside(job, w):
		return false
	case dispatched(job):
		return true
	case !w.queues():
		return !started(job, w)
	default:
		return !admitted(w)
	}
}

// started is true for a job that has pods, or had.
func started(job *v1alpha1.TrainingJob, w World) bool {
	return job.Status.StartTime != nil || len(w.Pods) > 0
}

// inKueue is true for a job whose queue is Kueue's: any that has to do with Kueue otherwise, or names no scheduler with queues of its own. What the cluster serves
// has no say in it: an API that comes or goes, or cannot be asked for a moment, must not hand a job from one queue to the other.
func inKueue(job *v1alpha1.TrainingJob, w World) bool {
	prior := job.Status.Queue
	_, given := prebuilt(job)
	switch {
	case queueOf(job) == "":
		return false
	case dispatched(job) || given || w.Queue.Workload != nil || prior != nil && (prior.Workload != "" || prior.State != v1alpha1.QueueUnavailable):
		return true
	case started(job, w):
		return prior != nil
	}
	row, named := gang.Row{}, false
	if g := gangSpec(job); g != nil {
		row, named = gang.Find(g.Scheduler)
	}
	return !named || !row.Queues
}

// queuesBeside is true where the queue is one of the scheduler that places the job's gang.
func queuesBeside(job *v1alpha1.TrainingJob, w World) bool {
	return queueOf(job) != "" && !inKueue(job, w)
}

// admitted is true when the job's Workload says that its pods may run.
func admitted(w World) bool { return w.Queue.Workload != nil && w.Queue.Workload.MayRun() }

// halted is true for a job that is not to have pods now: it is suspended, or waits in its queue.
func (s *state) halted() bool { return suspended(s.job) || s.parked }

// sized is the job with as many workers as were admitted, where that are fewer than it is to have.
func sized(job *v1alpha1.TrainingJob, w World) *v1alpha1.TrainingJob {
	e, n := framework.ElasticOf(job), admittedReplicas(job, w)
	if e == nil || n == nil || *n >= e.Replicas {
		return job
	}
	fewer := job.DeepCopy()
	fewer.Spec.PyTorch.Elastic.Replicas = *n
	return fewer
}

// admittedReplicas is how many workers Kueue admitted, nil where it did not say. What is known of pods that were made outlives the
// admission, and Kueue.
func admittedReplicas(job *v1alpha1.TrainingJob, w World) *int32 {
	switch prior := job.Status.Queue; {
	case queueOf(job) == "" || framework.ElasticOf(job) == nil:
		return nil
	case admitted(w):
		if n, known := w.Queue.Workload.Count(elasticSet); known {
			return &n
		}
	case prior != nil && len(w.Pods) > 0:
		return prior.AdmittedReplicas
	}
	return nil
}

// elasticSet is the PodSet whose size may vary: the workers of an elastic job.
const elasticSet = "worker"

// stop removes the pods of a job that is halted.
func (s *state) stop() []engine.Step {
	reason, why := eventSuspend, "spec.runPolicy.suspend is true"
	if !suspended(s.job) {
		waiting, _ := queueing(s)
		reason, why = eventEvict, waiting.message
	}
	return deletions(s.world.Pods, reason, why, anyPod)
}

// enqueue plans the Workload of a halted job. Quota is given back only when no pod is left, and when the status says so: pods of
// another job may take their places at once.
func (s *state) enqueue(plan *engine.Plan) {
	if queueOf(s.job) == "" || !s.world.queues() || s.busy() {
		return
	}
	_, given := prebuilt(s.job)
	if w := s.world.Queue.Workload; !given && w != nil && w.DeletionTimestamp == nil && (suspended(s.job) || s.reenters() != "") {
		plan.Delete = append(plan.Delete, engine.Step{Object: w.Target()})
	} else if !suspended(s.job) {
		s.line(plan)
	}
}

// busy is true while the job uses its quota, here or in another cluster.
func (s *state) busy() bool {
	if dispatched(s.job) {
		return s.busyElsewhere()
	}
	return started(s.job, s.world)
}

// untilRecount is when to look again how many stand before the job in its queue, of which nobody tells it: after a minute, and later the
// more there are, so that a line of thousands is not counted by each of them all the time.
func (s *state) untilRecount() time.Duration {
	if ahead := s.world.Queue.Ahead; ahead != nil {
		return min(time.Minute+time.Duration(*ahead)*time.Second, time.Hour)
	}
	return 0
}

// line plans what a job asks for that stands in its queue.
func (s *state) line(plan *engine.Plan) {
	w, known := s.world.Queue.Workload, s.askable()
	if known {
		s.claims(plan) // Kueue counts the devices that they ask for
	}
	_, given := prebuilt(s.job)
	switch {
	case w == nil && known && given:
		s.adopt(plan)
	case w == nil && known:
		plan.Create = append(plan.Create, engine.Step{Object: s.workload().Object()})
	case w == nil || w.DeletionTimestamp != nil:
		return
	case w.MustRelease():
		plan.Patch = append(plan.Patch, statusOfWorkload(w, w.Release(s.now)))
	case known && !given && !w.Is(kueue.QuotaReserved) && !w.Same(s.workload()):
		plan.Patch = append(plan.Patch, engine.Step{Object: w.Target(), Data: w.Resize(s.workload())})
	}
}

// askable is true when it is known what the job asks of its queue: its priority, and the devices and defaults of its pods.
func (s *state) askable() bool {
	_, lacks := lacksDevices(s)
	_, clash := clashes(s)
	return !lacks && !clash && s.world.Queue.NoClass == ""
}

// admit tells Kueue once that every pod is ready.
func (s *state) admit(plan *engine.Plan) {
	w := s.world.Queue.Workload
	notReady := func(r replica) bool { return !r.ready() && !s.over(r) }
	if w == nil || !w.MayRun() || w.Is(kueue.PodsReady) || slices.ContainsFunc(s.replicas, notReady) {
		return
	}
	plan.Patch = append(plan.Patch, statusOfWorkload(w, w.Started(s.now)))
}

// leave frees the quota of a job that has ended, when none of its pods holds any more of it. That of one that ran in another cluster is
// Kueue's to free, unless the cluster is lost: Kueue takes the job for unfinished then.
func leave(plan *engine.Plan, job *v1alpha1.TrainingJob, w World, now time.Time) {
	holds := func(p corev1.Pod) bool { return !finished(&p) }
	workload := w.Queue.Workload
	if workload == nil || dispatched(job) && !workload.Is(kueue.Evicted) || workload.Is(kueue.Finished) || workload.DeletionTimestamp != nil || slices.ContainsFunc(w.Pods, holds) {
		return
	}
	for _, c := range job.Status.Conditions {
		if c.Type == v1alpha1.ConditionSucceeded {
			plan.Patch = append(plan.Patch, statusOfWorkload(workload, workload.Finish(c.Status == yes, c.Message, now)))
		}
	}
}

func statusOfWorkload(w *kueue.Workload, data []byte) engine.Step {
	return engine.Step{Object: w.Target(), Subresource: "status", Data: data}
}

// workload is the Workload that asks for all pods of the job.
func (s *state) workload() *kueue.Workload {
	labels := ownLabels(s.job)
	maps.Copy(labels, map[string]string{kueue.OwnerLabel: string(s.job.UID)})
	w := &kueue.Workload{
		ObjectMeta: metav1.ObjectMeta{
			Name: names.Workload(s.job.Name), Namespace: s.job.Namespace, Labels: labels, Annotations: map[string]string{names.Asks: s.demand()},
		},
		Spec: kueue.Spec{QueueName: queueOf(s.job)},
	}
	if avoided := s.avoidedNames(); len(avoided) > 0 {
		w.Annotations[names.Avoids] = strings.Join(avoided, ",")
	}
	for i := range s.layout.Roles {
		w.Spec.PodSets = append(w.Spec.PodSets, s.podSet(&s.layout.Roles[i]))
	}
	if p := s.world.Queue.Priority; p != nil {
		w.Spec.Priority, w.Spec.PriorityClassRef = &p.Value, p.Class
	}
	return w
}

func (s *state) podSet(role *framework.Role) kueue.PodSet {
	set := kueue.PodSet{
		Name: names.Lower(role.Name), Count: int32(role.Count),
		Template:        kueue.Template(s.make(replica{Member: framework.Member{Layout: s.layout, Role: role}})),
		TopologyRequest: s.topology(),
	}
	if e := framework.ElasticOf(s.job); e != nil && set.Name == elasticSet {
		if fewest := s.fewest(e); fewest < set.Count {
			set.MinCount = &fewest
		}
	}
	return set
}

// fewest is the least number of workers that an elastic job is worth admitting with: it trains with them, and they make its gang
// whole.
func (s *state) fewest(e *v1alpha1.Elastic) int32 {
	fewest, _ := framework.Bounds(e)
	g, asked := gangOf(s.layout)
	if !asked {
		return fewest
	}
	for _, r := range g.Roles {
		if names.Lower(r.Name) == elasticSet {
			fewest = max(fewest, r.MinMember)
		}
	}
	others := atStart(s.layout, count) - count(s.layout, s.layout.Find("Worker"))
	return max(fewest, g.MinMember-others)
}

// topology asks Kueue for nodes that are close together. It keeps two PodSets in one domain if one of them is a single pod, as
// those of a master and its workers are; more it cannot.
func (s *state) topology() *kueue.TopologyRequest {
	t := s.job.Spec.Scheduling.Topology
	if t == nil {
		return nil
	}
	request := &kueue.TopologyRequest{PodIndexLabel: new(names.Index)}
	if t.Mode == "Required" {
		request.Required = &t.Key
	} else {
		request.Preferred = &t.Key
	}
	if r := s.layout.Roles; len(r) == 2 && min(r[0].Count, r[1].Count) == 1 {
		request.PodSetGroupName = new("job")
	}
	return request
}

// domains are those of the topology that Kueue gave to pods that are to be made, by name.
func (s *state) domains() map[string]map[string]string {
	if queueOf(s.job) == "" || dispatched(s.job) || !admitted(s.world) {
		return nil
	}
	there, missing := map[string][]*corev1.Pod{}, map[string][]string{}
	for _, r := range s.replicas {
		if set := names.Lower(r.Role.Name); r.current() {
			there[set] = append(there[set], r.pod)
		} else {
			missing[set] = append(missing[set], r.Name())
		}
	}
	domains := map[string]map[string]string{}
	for set, pods := range missing {
		free := s.world.Queue.Free(set, there[set])
		for i := range min(len(pods), len(free)) {
			domains[pods[i]] = free[i]
		}
	}
	return domains
}

// place gives a pod its place in the quota that was admitted.
func place(s *state, m framework.Member, p *corev1.Pod) {
	if queueOf(s.job) != "" && admitted(s.world) {
		s.world.Queue.Place(p, names.Lower(m.Role.Name), s.places[p.Name])
	}
}
