// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/framework"
	"github.com/millrace-ml/millrace/internal/health"
	"github.com/millrace-ml/millrace/internal/kueue"
	"github.com/millrace-ml/millrace/internal/names"
	"github.com/millrace-ml/millrace/test/golden"
)

// noon is now in every golden case.
var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// planCase is a case: a job, and its pods in short.
type planCase struct {
	Job  v1alpha1.TrainingJob `json:"job"`
	Pods []podInShort         `json:"pods"`
	// Full prints created pods whole.
	Full bool `json:"full"`
	// Accelerators are those there are.
	Accelerators []v1alpha1.Accelerator `json:"accelerators"`
	// PodDefaults are those of the namespace.
	PodDefaults []v1alpha1.PodDefault `json:"podDefaults"`
	// Silent are nodes that do not answer.
	Silent []string `json:"silent"`
	gangCase
	// Kueue is what is said of the job in its queue; nil stands for a cluster without Kueue.
	Kueue *kueue.World `json:"kueue"`
	// Nodes are those that are not healthy.
	Nodes []corev1.Node `json:"nodes"`
	// Common is what most nodes show.
	Common []string `json:"common"`
	// Tainted are rules that taint devices.
	Tainted []DeviceTaint `json:"tainted"`
}

// podInShort is a pod by what differs from one that was just created.
type podInShort struct {
	Name     string                 `json:"name"`
	Phase    corev1.PodPhase        `json:"phase"`
	Attempt  string                 `json:"attempt"`
	Going    bool                   `json:"going"`
	Reason   string                 `json:"reason"`
	NoNode   string                 `json:"noNode"`
	Unseen   bool                   `json:"unseen"` // no scheduler has looked at it
	Restarts int32                  `json:"restarts"`
	State    corev1.ContainerState  `json:"state"`
	Last     *corev1.ContainerState `json:"last"`
	// Unmounted are the kubelet's words about its volumes.
	Unmounted []string `json:"unmounted"`
	// Ready is true for a pod that can be reached.
	Ready bool `json:"ready"`
	// Beside are statuses of further containers, Init of init containers.
	Beside []corev1.ContainerStatus `json:"beside"`
	Init   []corev1.ContainerStatus `json:"init"`
	// Message is the kubelet's about the pod, Heartbeat its annotation.
	Message   string `json:"message"`
	Heartbeat string `json:"heartbeat"`
	// Gone is when a pod that is going should have ended; now when it is left out.
	Gone *metav1.Time `json:"gone"`
	// Made is when it was created, Placed when it got its node.
	Made   metav1.Time  `json:"made"`
	Placed *metav1.Time `json:"placed"`
	// Node is where it runs; node-1 when left out. Devices are what the kubelet says of those it was given.
	Node    string                  `json:"node"`
	Devices []corev1.ResourceStatus `json:"devices"`
	// Notes are its annotations.
	Notes map[string]string `json:"notes"`
	// Selector is where it must run.
	Selector map[string]string `json:"selector"`
	// Disrupted is the reason for which the cluster takes it away.
	Disrupted string `json:"disrupted"`
}

// outcome is what is compared: the plan, and the status after it.
type outcome struct {
	Apply  []string                   `json:"apply,omitempty"`
	Create []string                   `json:"create,omitempty"`
	Delete []string                   `json:"delete,omitempty"`
	Patch  []string                   `json:"patch,omitempty"`
	Again  string                     `json:"again,omitempty"`
	Files  map[string]string          `json:"files,omitempty"`
	Groups []engine.Object            `json:"groups,omitempty"`
	Pods   []engine.Object            `json:"pods,omitempty"`
	Claims []engine.Object            `json:"claims,omitempty"`
	Status v1alpha1.TrainingJobStatus `json:"status"`
}

func TestPlansAndReports(t *testing.T) {
	files, err := filepath.Glob("testdata/plan/*.in.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".in.yaml"), func(t *testing.T) {
			golden.Compare(t, strings.Replace(file, ".in.", ".want.", 1), run(t, file))
		})
	}
}

func run(t *testing.T, file string) []byte {
	t.Helper()
	var c planCase
	load(t, file, &c)
	prepare(&c.Job)
	world := c.world(&c.Job)
	world.Silent, world.Accelerators, world.PodDefaults = c.Silent, c.Accelerators, c.PodDefaults
	world.Nodes, world.Healing, world.Common, world.DeviceTaints = c.Nodes, health.Default(), c.Common, c.Tainted
	if c.Kueue != nil {
		world.Served, world.Queue = append(world.Served, kueue.WorkloadKind, kueue.FlavorKind, kueue.PriorityKind), *c.Kueue
	}
	for _, p := range c.Pods {
		pod := p.pod(t, &c.Job)
		world.Pods = append(world.Pods, pod)
		for _, message := range p.Unmounted {
			world.Events = append(world.Events, corev1.Event{
				InvolvedObject: corev1.ObjectReference{Kind: "Pod", UID: pod.UID}, Reason: FailedMount, Message: message,
			})
		}
	}
	out, err := yaml.Marshal(decide(t, &c, world))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// load reads a case.
func load(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(text, into); err != nil {
		t.Fatal(err)
	}
}

func decide(t *testing.T, c *planCase, world World) outcome {
	t.Helper()
	plan := Plan(&c.Job, world, noon)
	var got outcome
	for _, o := range plan.Apply {
		got.Apply = append(got.Apply, o.GetName())
		if _, loose := o.(*unstructured.Unstructured); loose {
			got.Groups = append(got.Groups, o)
		}
		if files, ok := o.(*corev1.ConfigMap); ok && c.Full {
			got.Files = files.Data
		}
	}
	got.create(plan.Create, c.Full)
	for _, s := range plan.Delete {
		got.Delete = append(got.Delete, strings.TrimSuffix(s.Object.GetName()+": "+s.Reason+", "+s.Why, ", "))
	}
	for _, s := range plan.Patch {
		got.Patch = append(got.Patch, strings.TrimSuffix(s.Object.GetName()+"/"+s.Subresource, "/")+": "+string(s.Data))
	}
	if plan.Again > 0 {
		got.Again = plan.Again.String()
	}
	after := c.Job.DeepCopy()
	Report(after, world, noon)
	twice := after.DeepCopy()
	Report(twice, world, noon)
	if c.Job.Status.Suspensions == after.Status.Suspensions && len(after.Status.Restarts) == 0 || ended(after) {
		if diff := gocmp.Diff(after, twice); diff != "" {
			t.Errorf("a second report says something else (-once +twice):\n%s", diff)
		}
	}
	got.Status = after.Status
	return got
}

// create lists what a plan creates by name, and in full if it is asked for.
func (o *outcome) create(steps []engine.Step, full bool) {
	for _, s := range steps {
		o.Create = append(o.Create, strings.TrimSuffix(s.Object.GetName()+" attempt "+s.Object.GetLabels()[names.Attempt], " attempt "))
		if !full {
			continue
		}
		switch s.Object.(type) {
		case *corev1.Secret:
		case *resourcev1.ResourceClaimTemplate:
			o.Claims = append(o.Claims, s.Object)
		default:
			o.Pods = append(o.Pods, s.Object)
		}
	}
}

// mains are the names by which frameworks know main containers.
var mains = map[v1alpha1.Framework]string{v1alpha1.PyTorch: "pytorch", v1alpha1.TensorFlow: "tensorflow", v1alpha1.MXNet: "mxnet"}

// prepare gives a job what an API server would.
func prepare(job *v1alpha1.TrainingJob) {
	job.Name, job.Namespace = cmp.Or(job.Name, "digits"), cmp.Or(job.Namespace, "team")
	job.UID = "job-uid"
	if job.Spec.RunPolicy.CleanPods == "" {
		job.Spec.RunPolicy.CleanPods = v1alpha1.CleanRunning
	}
	for i := range job.Spec.Roles {
		if spec := &job.Spec.Roles[i].Template.Spec; spec.Containers == nil {
			spec.Containers = []corev1.Container{{Name: cmp.Or(mains[job.Spec.Framework], "main"), Image: "digits:1"}}
		}
	}
}

// pod is the pod the controller made of a member, with what has become of it.
func (p podInShort) pod(t *testing.T, job *v1alpha1.TrainingJob) corev1.Pod {
	t.Helper()
	made := made(job, p.Name)
	made.UID, made.Labels[names.Attempt] = types.UID("uid-of-"+p.Name), cmp.Or(p.Attempt, "0")
	made.Status.Phase, made.Status.Reason = cmp.Or(p.Phase, corev1.PodPending), p.Reason
	if p.NoNode != "" {
		made.Status.Conditions = []corev1.PodCondition{{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: p.NoNode,
		}}
	} else if !p.Unseen {
		made.Spec.NodeName = cmp.Or(p.Node, "node-1")
	}
	if p.Going {
		made.DeletionTimestamp = cmp.Or(p.Gone, new(metav1.NewTime(noon)))
	}
	if p.Ready {
		made.Status.Conditions = append(made.Status.Conditions, corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue})
	}
	if p.Heartbeat != "" {
		made.Annotations = map[string]string{names.Heartbeat: p.Heartbeat}
	}
	made.Spec.NodeSelector = p.Selector
	made.Status.Message, made.CreationTimestamp = p.Message, p.Made
	if p.Placed != nil {
		made.Status.Conditions = append(made.Status.Conditions, corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: *p.Placed})
	}
	if p.Disrupted != "" {
		made.Status.Conditions = append(made.Status.Conditions, corev1.PodCondition{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: p.Disrupted})
	}
	if p.Notes != nil {
		made.Annotations = p.Notes
	}
	status := corev1.ContainerStatus{Name: made.Spec.Containers[0].Name, RestartCount: p.Restarts, State: p.State, AllocatedResourcesStatus: p.Devices}
	if p.Last != nil {
		status.LastTerminationState = *p.Last
	}
	made.Status.ContainerStatuses = append([]corev1.ContainerStatus{status}, p.Beside...)
	made.Status.InitContainerStatuses = p.Init
	return *made
}

// made is the pod the controller makes of a member; a name that is no member's gives a pod that the job has outgrown.
func made(job *v1alpha1.TrainingJob, name string) *corev1.Pod {
	layout, _ := framework.Resolve(job)
	members := layout.Members()
	for _, m := range members {
		if m.Name() == name {
			return pod(m, 0)
		}
	}
	p := pod(members[len(members)-1], 0)
	p.Name = name
	return p
}
