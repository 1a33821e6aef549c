// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"cmp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/framework"
	"github.com/millrace-ml/millrace/internal/gang"
	"github.com/millrace-ml/millrace/internal/health"
	"github.com/millrace-ml/millrace/internal/kueue"
)

// World is what a job's decisions are made from.
type World struct {
	// Pods are the pods the job owns, in any order and state.
	Pods []corev1.Pod
	// Events are of reason FailedMount and about pods that wait for their volumes.
	Events []corev1.Event
	// Accelerators are all there are, for a job that names one.
	Accelerators []v1alpha1.Accelerator
	// PodDefaults are those of the namespace.
	PodDefaults []v1alpha1.PodDefault
	// Served are the kinds of optional APIs that the cluster offers, of those in Optional.
	Served []schema.GroupVersionKind
	// Groups are the objects that stand, or stood, for the gang of the job.
	Groups []unstructured.Unstructured
	// Fabrics are the objects by which what places the gang knows how nodes are connected, for a job that asks for a topology.
	Fabrics []unstructured.Unstructured
	// Rivals are gangs without a scheduler of their own that hold nodes and wait for more, the job's among them.
	Rivals []gang.Waiting
	// Gangs are the manager's settings for all gangs.
	Gangs gang.Settings
	// Queue is what Kueue says of the job, where it waits in a queue.
	Queue kueue.World
	// Nodes are those that are not healthy; Healing is what they are judged by.
	Nodes   []corev1.Node
	Healing health.Policy
	// Common are the signs by which nodes are bad that most nodes of the cluster show.
	Common []string
	// DeviceTaints are those of rules, in their order by name, where a pod was taken from its device.
	DeviceTaints []DeviceTaint
	// Silent are the nodes of terminating pods that do not answer, or are gone.
	Silent []string
}

// FailedMount is the reason of the kubelet's events that say why a volume cannot be mounted: a Secret or ConfigMap that is
// not there, a disk that is elsewhere. The pod's status says nothing of it.
const FailedMount = "FailedMount"

// state is a job and its pods, member by member.
type state struct {
	job      *v1alpha1.TrainingJob
	world    World
	layout   *framework.Layout
	now      time.Time
	replicas []replica
	// nodes are those that are not healthy, by name.
	nodes map[string]*corev1.Node
	// surplus are pods of members that the job no longer has.
	surplus []*corev1.Pod
	// unmounted says of pods, by UID, which volume cannot be mounted and why.
	unmounted map[types.UID]string
	// sizes are the numbers of replicas that the status tells of: more than that are new, and not lost.
	sizes map[string]int
	// outdated are the units of which a pod of an earlier attempt is left.
	outdated map[string]bool
	// records are the places of units in status.restarts.
	records map[string]int
	// failures are the failed pods of this attempt, the root cause before the others.
	failures []failure
	// unsettled is how long failures wait to be acted on, because their cause may be about to show.
	unsettled time.Duration
	// gang is what must be placed together, nil in a job that does not ask for it.
	gang *squad
	// parked is true while the job's queue keeps it from having pods.
	parked bool
	// places are the domains of pods to be made in the topology of the queue, by name.
	places map[string]map[string]string
	// wait is what keeps pods from being made, if anything.
	wait *wait
	// causes are the failures that this pass records, in full.
	causes []*v1alpha1.Failure
}

// replica is a member and the pod that stands for it, if any.
type replica struct {
	framework.Member
	pod *corev1.Pod
	// of is the attempt the pod was made for.
	of int32
	// unit is what restarts together with the member.
	unit string
	// attempt is the one wanted: the number of restarts recorded for the member's units.
	attempt int32
	// vanished is true for a member whose pod ran and is gone, without its loss having been recorded.
	vanished bool
	// done is true when the status says that the member has succeeded, whatever became of its pod.
	done bool
	// halted is true for a member that is not to have a pod now.
	halted bool
}

// look puts pods and members together. The job's framework is known.
func look(job *v1alpha1.TrainingJob, w World, now time.Time) *state {
	s := survey(job, w, now, parked(job, w))
	if s.reenters() != "" {
		return survey(job, w, now, true)
	}
	return s
}

func survey(job *v1alpha1.TrainingJob, w World, now time.Time, parked bool) *state {
	layout, _ := framework.Resolve(sized(job, w))
	s := &state{
		job: job, world: w, parked: parked, layout: layout, now: now, unmounted: unmounted(w.Events),
		records: map[string]int{}, sizes: map[string]int{}, outdated: map[string]bool{}, nodes: map[string]*corev1.Node{},
	}
	for i := range w.Nodes {
		s.nodes[w.Nodes[i].Name] = &w.Nodes[i]
	}
	for i, rec := range job.Status.Restarts {
		s.records[rec.Unit] = i
	}
	for _, role := range job.Status.Roles {
		if role.Replicas != nil {
			s.sizes[role.Name] = int(*role.Replicas)
		}
	}
	pods := make(map[string]*corev1.Pod, len(w.Pods))
	for i := range w.Pods {
		pods[w.Pods[i].Name] = &w.Pods[i]
	}
	done := successes(job)
	for _, m := range layout.Members() {
		name := m.Name()
		r := replica{Member: m, pod: pods[name], unit: unitOf(m), attempt: s.attempts(m), done: done[m.Role.Name].has(m.Index), halted: s.halted()}
		if r.pod != nil {
			r.of = attemptOf(r.pod)
			delete(pods, name)
		}
		if r.superseded() {
			s.outdated[r.unit] = true
		}
		r.vanished = r.pod == nil && !r.done && s.ran() && m.Index < s.sizes[m.Role.Name]
		s.replicas = append(s.replicas, r)
	}
	for _, p := range pods {
		if !terminating(p) {
			s.surplus = append(s.surplus, p)
		}
	}
	slices.SortFunc(s.surplus, func(a, b *corev1.Pod) int { return cmp.Compare(a.Name, b.Name) })
	s.failures, s.unsettled = s.settled(s.failing())
	s.gang, s.places = s.muster(), s.domains()
	s.wait = s.ask()
	return s
}

// foresee is the world when all that a plan creates is up, and its Workload admitted.
func foresee(w World, plan engine.Plan) World {
	for _, step := range plan.Create {
		w.Queue = w.Queue.Foresee(step.Object)
		p, ok := step.Object.(*corev1.Pod)
		if !ok {
			continue
		}
		p = p.DeepCopy()
		p.Status.Phase = corev1.PodRunning
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		w.Pods = append(w.Pods, *p)
	}
	w.Groups = letIn(plan)
	return w
}

// unmounted takes the first message about each pod in the order of the alphabet, as the kubelet alternates between two.
func unmounted(events []corev1.Event) map[types.UID]string {
	messages := map[types.UID]string{}
	for _, e := range events {
		message, found := messages[e.InvolvedObject.UID]
		if !found || e.Message < message {
			messages[e.InvolvedObject.UID] = e.Message
		}
	}
	return messages
}

// awaitsVolumes is true for a pod that has a node and whose volumes are not mounted yet: no container was made, and none
// waits for its image.
func awaitsVolumes(p *corev1.Pod) bool {
	if p.Status.Phase != corev1.PodPending || p.Spec.NodeName == "" || terminating(p) {
		return false
	}
	return !hasCondition(p, corev1.PodReadyToStartContainers) && !slices.ContainsFunc(allStatuses(p), func(c corev1.ContainerStatus) bool {
		return c.State.Waiting == nil || !slices.Contains([]string{"", "ContainerCreating", "PodInitializing"}, c.State.Waiting.Reason)
	})
}

// superseded is true for a pod of an attempt that is over.
func (r replica) superseded() bool { return r.pod != nil && r.of < r.attempt }

// current is true for a replica with a pod that counts: of this attempt, and not on its way out.
func (r replica) current() bool { return r.pod != nil && !r.superseded() && !terminating(r.pod) }

// ran is true when every pod ran when the status was written last, and no restart or suspension was recorded since.
func (s *state) ran() bool {
	at := s.job.Status.RunningAttempt
	return at != nil && *at == recorded(s.job) && !s.halted()
}

// deleted is true for a replica whose pod is on its way out, or gone, before it had ended.
func (r replica) deleted() bool {
	return r.vanished || r.pod != nil && !r.superseded() && terminating(r.pod) && !r.succeeded()
}

// succeeded: the main container has ended well. Others, such as a mesh's proxy, may go on for ever.
func (r replica) succeeded() bool {
	if r.done || r.stopped() {
		return r.done
	}
	end := r.end()
	return r.pod != nil && !r.superseded() && (r.pod.Status.Phase == corev1.PodSucceeded || end != nil && end.ExitCode == 0)
}

// stopped is true for a pod that is told to end: a program that does so well, as the stop signal asks of it, has not done its work.
func (r replica) stopped() bool {
	return r.pod != nil && terminating(r.pod) && (r.halted || hasCondition(r.pod, corev1.DisruptionTarget))
}

// failed: the pod has failed, or its main container has and nobody starts it again.
func (r replica) failed() bool {
	if !r.current() || r.succeeded() {
		return false
	}
	return r.pod.Status.Phase == corev1.PodFailed || r.end() != nil && !restarts(r.pod, r.Role.MainName())
}

// running is true for a pod whose main container runs; one between two starts does not.
func (r replica) running() bool {
	return r.current() && !r.succeeded() && !r.failed() && r.pod.Status.Phase == corev1.PodRunning && !crashed(r.main())
}

// ready is true for a pod that can be reached.
func (r replica) ready() bool { return r.running() && hasCondition(r.pod, corev1.PodReady) }

// main is the status of the main container, empty when the kubelet has not said anything of it.
func (r replica) main() corev1.ContainerStatus {
	if r.pod == nil {
		return corev1.ContainerStatus{}
	}
	for _, c := range r.pod.Status.ContainerStatuses {
		if c.Name == r.Role.MainName() {
			return c
		}
	}
	return corev1.ContainerStatus{}
}

// end is how the main container ended, nil while it runs or waits.
func (r replica) end() *corev1.ContainerStateTerminated { return r.main().State.Terminated }

// crashed is true for a container that failed and does not run again yet.
func crashed(c corev1.ContainerStatus) bool {
	waiting := c.State.Waiting != nil && c.State.Waiting.Reason == "CrashLoopBackOff"
	return waiting || c.State.Terminated != nil && c.State.Terminated.ExitCode != 0
}

// restarts is true when the kubelet starts a failed container again.
func restarts(p *corev1.Pod, container string) bool {
	for _, c := range p.Spec.Containers {
		if c.Name == container && c.RestartPolicy != nil {
			return *c.RestartPolicy != corev1.ContainerRestartPolicyNever
		}
	}
	return p.Spec.RestartPolicy != corev1.RestartPolicyNever
}

// isSidecar is true for an init container that runs beside the others.
func isSidecar(p *corev1.Pod, container string) bool {
	return slices.ContainsFunc(p.Spec.InitContainers, func(c corev1.Container) bool {
		return c.Name == container && c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
	})
}

func allStatuses(p *corev1.Pod) []corev1.ContainerStatus {
	return slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses)
}

func hasCondition(p *corev1.Pod, kind corev1.PodConditionType) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == kind && c.Status == corev1.ConditionTrue
	})
}

func terminating(p *corev1.Pod) bool { return p.DeletionTimestamp != nil }

func finished(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// atRest is true for a pod that has ended, or is about to: the kubelet lets a pod be Running until it has taken it down, a while
// after the last container has ended.
func atRest(p *corev1.Pod) bool {
	active := func(c corev1.ContainerStatus) bool {
		end := c.State.Terminated
		return end == nil || end.ExitCode != 0 && restarts(p, c.Name)
	}
	return finished(p) || len(p.Status.ContainerStatuses) > 0 && !slices.ContainsFunc(p.Status.ContainerStatuses, active)
}

func suspended(job *v1alpha1.TrainingJob) bool {
	return job.Spec.RunPolicy.Suspend != nil && *job.Spec.RunPolicy.Suspend
}
