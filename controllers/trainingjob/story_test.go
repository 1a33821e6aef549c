// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/health"
	"github.com/millrace-ml/millrace/internal/names"
	"github.com/millrace-ml/millrace/test/golden"
)

// script is a job and what happens to it, a line each: "run NAME", "succeed NAME", "fail NAME CODE [MESSAGE]", "lose NAME" (evicted),
// "delete NAME" (by force), "terminate NAME" (with grace), "end NAME" (a terminating pod is gone), "wait DURATION", "suspend", "resume",
// "scale N", and of Kueue "admit [N]" (workers), "evict REASON", "remove" (its API) and "install". NAME may be all.
// Of MultiKueue "send" (to another cluster), "copy PHASE" (its status there) and "close" (its Workload).
// A pod that runs does so on the node of its name. "break NODE" gives a node a bad condition, "mend NODE" takes it away, "silence NODE"
// lets its kubelet fall silent, "fault NAME" makes a device of a pod unhealthy. "accelerator COUNT LABEL" lets the Accelerator a100 be one of nodes
// of up to so many devices with such a label, "accelerator none" deletes it.
type script struct {
	Job   v1alpha1.TrainingJob `json:"job"`
	Steps []string             `json:"steps"`
	// Bare is true where Kueue cannot be seen at first.
	Bare bool `json:"bare"`
}

// story is a world in memory that a job is played in, and the text of it.
type story struct {
	t    *testing.T
	job  *v1alpha1.TrainingJob
	pods []corev1.Pod
	now  time.Time
	made int
	said string
	// kueue is there for a job that waits in a queue.
	kueue *playedKueue
	// nodes are those that are not healthy.
	nodes []corev1.Node
	// accelerators are those there are.
	accelerators []v1alpha1.Accelerator
	// over is true when the job is deleted.
	over bool
	text strings.Builder
}

func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/story/*.in.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".in.yaml"), func(t *testing.T) {
			var c script
			load(t, file, &c)
			prepare(&c.Job)
			s := &story{t: t, job: &c.Job, now: noon}
			if queueOf(&c.Job) != "" {
				s.kueue = &playedKueue{removed: c.Bare}
			}
			s.settle()
			for _, step := range c.Steps {
				fmt.Fprintf(&s.text, "\n%s %s\n", s.now.Format("15:04:05"), step)
				s.play(strings.Fields(step))
				s.settle()
			}
			golden.Compare(t, strings.Replace(file, ".in.yaml", ".want.txt", 1), []byte(s.text.String()))
		})
	}
}

// settle passes until nothing changes any more, as the engine does.
func (s *story) settle() {
	s.t.Helper()
	for range 20 {
		before := s.job.DeepCopy()
		world := World{Pods: slices.Clone(s.pods), Nodes: slices.Clone(s.nodes), Healing: health.Default(), Accelerators: s.accelerators}
		if s.kueue != nil {
			world.Served, world.Queue = s.kueue.seen()
		}
		plan := Plan(s.job, world, s.now)
		wrote := s.carryOut(plan)
		if s.over {
			return
		}
		if !mirrored(s.job, world) {
			Report(s.job, world, s.now)
		}
		s.tell()
		if !wrote && gocmp.Equal(before.Status, s.job.Status) {
			if plan.Again > 0 {
				fmt.Fprintf(&s.text, "  ... looks again in %s\n", plan.Again)
			}
			return
		}
	}
	s.t.Fatal("it does not settle")
}

func (s *story) carryOut(plan engine.Plan) bool {
	for _, d := range plan.Delete {
		fmt.Fprintf(&s.text, "  - %s: %s\n", d.Object.GetName(), strings.TrimSuffix(d.Reason+", "+d.Why, ", "))
		if i := s.find(d.Object.GetName()); i >= 0 {
			s.pods[i].DeletionTimestamp = new(metav1.NewTime(s.now.Add(30 * time.Second)))
		}
		s.over = s.over || d.Object.GetUID() == s.job.UID
	}
	wrote := len(plan.Delete) > 0
	if s.kueue != nil {
		wrote = s.kueue.tell(s, plan) || wrote
	}
	for _, c := range plan.Create {
		p, isPod := c.Object.DeepCopyObject().(*corev1.Pod)
		if !isPod {
			continue
		}
		wrote = true
		s.made++
		p.UID, p.Status.Phase, p.CreationTimestamp = types.UID(strconv.Itoa(s.made)), corev1.PodPending, metav1.NewTime(s.now)
		s.pods = append(s.pods, *p)
		away := p.Annotations[names.Avoids]
		if away != "" {
			away = " away from " + away
		}
		fmt.Fprintf(&s.text, "  + %s attempt %s%s%s\n", p.Name, p.Labels[names.Attempt], away, given(p))
	}
	return wrote
}

// given is what a pod has of an Accelerator.
func given(p *corev1.Pod) string {
	if p.Labels[names.Accelerator] == "" {
		return ""
	}
	devices := p.Spec.Containers[0].Resources.Limits["nvidia.com/gpu"]
	return fmt.Sprintf(" with %s devices on %s", devices.String(), p.Spec.NodeSelector["gpu"])
}

// tell says how the job is when that changed.
func (s *story) tell() {
	said := fmt.Sprintf("  = %s, %s ready", s.job.Status.Phase, s.job.Status.Ready)
	for _, c := range s.job.Status.Conditions {
		if c.Type == v1alpha1.ConditionSucceeded {
			said += fmt.Sprintf(": %s: %s", c.Reason, c.Message)
		}
	}
	if said != s.said {
		s.text.WriteString(said + "\n")
	}
	s.said = said
}

func (s *story) find(name string) int {
	return slices.IndexFunc(s.pods, func(p corev1.Pod) bool { return p.Name == name })
}

// play lets a step happen to the pods it names, or to the job.
func (s *story) play(step []string) {
	s.t.Helper()
	policy := &s.job.Spec.RunPolicy
	switch verb := step[0]; verb {
	case "wait":
		d, err := time.ParseDuration(step[1])
		if err != nil {
			s.t.Fatal(err)
		}
		s.now = s.now.Add(d)
	case "admit", "evict", "remove", "install", "send", "copy", "close":
		s.kueue.play(s, step)
	case "break", "silence", "mend":
		s.now = s.now.Add(time.Second)
		s.judge(verb, step[1])
	case "accelerator":
		s.accelerators = played(s.t, step[1:])
	case "suspend", "resume":
		policy.Suspend = new(verb == "suspend")
	case "scale":
		n, err := strconv.Atoi(step[1])
		if err != nil {
			s.t.Fatal(err)
		}
		s.job.Spec.PyTorch.Elastic.Replicas = int32(n)
	default:
		s.now = s.now.Add(time.Second)
		for i := range s.pods {
			if p := &s.pods[i]; step[1] == "all" || strings.HasSuffix(p.Name, step[1]) {
				s.happen(p, verb, step[2:])
			}
		}
		s.pods = slices.DeleteFunc(s.pods, func(p corev1.Pod) bool { return p.UID == "" })
	}
}

// judge lets a node become what the verb says.
func (s *story) judge(verb, name string) {
	node := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	s.nodes = slices.DeleteFunc(s.nodes, func(n corev1.Node) bool { return n.Name == name })
	switch verb {
	case "break":
		node.Status.Conditions = []corev1.NodeCondition{{Type: "GpuXidError", Status: corev1.ConditionTrue, Reason: "Xid79", Message: "GPU has fallen off the bus"}}
	case "silence":
		node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionUnknown, LastTransitionTime: metav1.NewTime(s.now)}}
	default:
		return
	}
	s.nodes = append(s.nodes, node)
}

func (s *story) happen(p *corev1.Pod, verb string, more []string) {
	s.t.Helper()
	if verb == "delete" || verb == "end" {
		if verb == "delete" || terminating(p) {
			p.UID = "" // gone
		}
		return
	}
	if terminating(p) || finished(p) {
		return
	}
	ready := corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue}
	switch verb {
	case "run":
		p.Status.Phase, p.Status.Conditions = corev1.PodRunning, []corev1.PodCondition{ready}
		p.Spec.NodeName = cmp.Or(append(more, "node-of-"+p.Name)...)
	case "wait-for-a-node":
		p.Status.Conditions = []corev1.PodCondition{{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: "0/2 nodes are available",
		}}
	case "fault":
		gone := []corev1.ResourceHealth{{ResourceID: "GPU-1", Health: corev1.ResourceHealthStatusUnhealthy}}
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{
			Name: p.Spec.Containers[0].Name, AllocatedResourcesStatus: []corev1.ResourceStatus{{Name: "nvidia.com/gpu", Resources: gone}},
		}}
	case "terminate":
		p.DeletionTimestamp, p.DeletionGracePeriodSeconds = new(metav1.NewTime(s.now.Add(30*time.Second))), new(int64(30))
	case "succeed":
		p.Status.Phase = corev1.PodSucceeded
	case "lose":
		p.Status.Phase, p.Status.Reason = corev1.PodFailed, "Evicted"
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(s.now)}}
	case "fail":
		code, err := strconv.Atoi(cmp.Or(more...))
		if err != nil {
			s.t.Fatal(err)
		}
		p.Status.Phase = corev1.PodFailed
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: p.Spec.Containers[0].Name, State: corev1.ContainerState{
			Terminated: &corev1.ContainerStateTerminated{ExitCode: int32(code), Message: strings.Join(more[1:], " "), FinishedAt: metav1.NewTime(s.now)},
		}}}
	default:
		s.t.Fatalf("no step %q", verb)
	}
}

// played is the Accelerator of a step, and none after "none".
func played(t *testing.T, step []string) []v1alpha1.Accelerator {
	t.Helper()
	if step[0] == "none" {
		return nil
	}
	count, err := strconv.ParseInt(step[0], 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	a := v1alpha1.Accelerator{ObjectMeta: metav1.ObjectMeta{Name: "a100"}}
	a.Spec.Resource, a.Spec.NodeSelector = "nvidia.com/gpu", map[string]string{"gpu": step[1]}
	a.Status.Nodes, a.Status.Shapes = new(int32(1)), []v1alpha1.NodeShape{{Devices: int32(count), Nodes: 1}}
	return []v1alpha1.Accelerator{a}
}
