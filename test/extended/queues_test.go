// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package extended

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/kueue"
	"github.com/millrace-ml/millrace/internal/names"
)

// quota is that of each of the two teams, who lend each other what they do not need.
const quota = 4

const flavor = `
apiVersion: kueue.x-k8s.io/v1beta2
kind: ResourceFlavor
metadata: {name: a100}
spec:
  nodeLabels: {gpu.example.com/model: a100}
  tolerations: [{key: example.com/gpu, operator: Exists, effect: NoSchedule}]
`

const team = `
apiVersion: kueue.x-k8s.io/v1beta2
kind: ClusterQueue
metadata: {name: %[1]s}
spec:
  cohortName: lab
  namespaceSelector: {}
  preemption: {reclaimWithinCohort: Any, withinClusterQueue: LowerPriority}
  resourceGroups:
  - coveredResources: [example.com/gpu]
    flavors: [{name: a100, resources: [{name: example.com/gpu, nominalQuota: %[2]d}]}]
---
apiVersion: v1
kind: Namespace
metadata: {name: %[1]s}
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: LocalQueue
metadata: {name: gpus, namespace: %[1]s}
spec: {clusterQueue: %[1]s}
`

var _ = Describe("queues of the real Kueue", Label("kueue"), Ordered, func() {
	var devices *kubelet

	BeforeAll(func(ctx SpecContext) {
		needKueue()
		home.startManager()
		devices = home.playKubelet(2*quota, "early", "a", "b")
		Expect(admin.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "early"}})).To(Succeed())
		Expect(admin.Create(ctx, training("early", "digits", 2))).To(Succeed())
		Eventually(home.reasonOf("early", "digits", v1alpha1.ConditionScheduled)).Should(Equal(v1alpha1.ReasonQueueUnavailable))
		home.startKueue("kueue")
		home.apply(flavor)
		for _, name := range []string{"a", "b"} {
			home.apply(fmt.Sprintf(team, name, quota))
		}
	})
	AfterEach(func() { Expect(devices.violations()).To(BeEmpty(), "the quota did not hold") })

	It("lets a job in that waited for Kueue to be installed", func(ctx SpecContext) {
		Eventually(home.messageOf("early", "digits", v1alpha1.ConditionScheduled)).Should(Equal("Queue gpus: LocalQueue gpus doesn't exist"))
		home.apply(`
apiVersion: kueue.x-k8s.io/v1beta2
kind: LocalQueue
metadata: {name: gpus, namespace: early}
spec: {clusterQueue: a}
`)
		Eventually(home.reasonOf("early", "digits", v1alpha1.ConditionRunning)).Should(Equal(v1alpha1.ReasonAllRunning))
		home.finish(ctx, "early", "digits")
	})

	It("makes pods when quota is borrowed, with the flavor's place", func(ctx SpecContext) {
		Expect(admin.Create(ctx, training("a", "borrower", 6))).To(Succeed())
		Eventually(home.reasonOf("a", "borrower", v1alpha1.ConditionRunning)).Should(Equal(v1alpha1.ReasonAllRunning))
		for _, p := range home.podsOf(ctx, "a", "borrower") {
			Expect(p.Spec.NodeSelector).To(Equal(map[string]string{"gpu.example.com/model": "a100"}))
			Expect(p.Spec.Tolerations).To(ContainElement(corev1.Toleration{Key: gpu, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}))
			Expect(p.Spec.SchedulingGates).To(BeEmpty())
			Expect(p.Finalizers).To(BeEmpty())
			Expect(p.Labels).To(HaveKeyWithValue(names.Attempt, "0"))
		}
		job := home.jobOf(ctx, "a", "borrower")
		Expect(job.Status.Queue).To(Equal(&v1alpha1.QueueStatus{
			Name: "gpus", State: v1alpha1.QueueAdmitted, Workload: "trainingjob-borrower", ClusterQueue: "a",
		}))
		Eventually(func() bool { return home.workloadOf(ctx, "a", "borrower").Is(kueue.PodsReady) }).Should(BeTrue())
	})

	It("gives borrowed quota back to its owner, and waits for it again", func(ctx SpecContext) {
		Expect(admin.Create(ctx, training("b", "owner", 4))).To(Succeed())
		Eventually(home.reasonOf("b", "owner", v1alpha1.ConditionRunning)).Should(Equal(v1alpha1.ReasonAllRunning))
		Expect(home.podsOf(ctx, "a", "borrower")).To(BeEmpty())
		Eventually(home.reasonOf("a", "borrower", v1alpha1.ConditionScheduled)).Should(Equal(v1alpha1.ReasonQueuePending))
		Eventually(home.messageOf("a", "borrower", v1alpha1.ConditionScheduled)).Should(ContainSubstring("insufficient unused quota"))
		job := home.jobOf(ctx, "a", "borrower")
		Expect(job.Status.Suspensions).To(Equal(int32(1)))
		Expect(job.Status.RestartCount).To(BeZero(), "an eviction is charged to nobody")
		Expect(job.Status.Queue).To(Equal(&v1alpha1.QueueStatus{
			Name: "gpus", State: v1alpha1.QueuePending, Workload: "trainingjob-borrower", Position: new(int32(1)), Evictions: 1, EvictedReason: "Preempted",
		}))
	})

	It("frees quota at the end of a job, for whoever waits", func(ctx SpecContext) {
		home.finish(ctx, "b", "owner")
		Eventually(home.reasonOf("a", "borrower", v1alpha1.ConditionRunning)).Should(Equal(v1alpha1.ReasonAllRunning))
		for _, p := range home.podsOf(ctx, "a", "borrower") {
			Expect(p.Labels).To(HaveKeyWithValue(names.Attempt, "1"))
		}
		home.finish(ctx, "a", "borrower")
		Eventually(func() string { return home.reserved(ctx, "a") + " " + home.reserved(ctx, "b") }).Should(Equal("0 0"))
	})

	It("admits an elastic job in part, and all of it when it is resumed", func(ctx SpecContext) {
		Expect(admin.Create(ctx, training("b", "rival", 4))).To(Succeed())
		Eventually(home.reasonOf("b", "rival", v1alpha1.ConditionRunning)).Should(Equal(v1alpha1.ReasonAllRunning))
		job := training("a", "elastic", 2)
		job.Spec.Roles = job.Spec.Roles[1:]
		job.Spec.Roles[0].Replicas = nil
		job.Spec.PyTorch = &v1alpha1.PyTorchSpec{Elastic: &v1alpha1.Elastic{Replicas: 7, MinReplicas: new(int32(2)), MaxReplicas: new(int32(8))}}
		Expect(admin.Create(ctx, job)).To(Succeed())
		Eventually(home.reasonOf("a", "elastic", v1alpha1.ConditionRunning)).Should(Equal(v1alpha1.ReasonAllRunning))
		Expect(home.podsOf(ctx, "a", "elastic")).To(HaveLen(4))
		Expect(home.jobOf(ctx, "a", "elastic").Spec.PyTorch.Elastic.Replicas).To(Equal(int32(7)), "the spec is the user's")
		Eventually(func() int32 { return *home.jobOf(ctx, "a", "elastic").Status.Elastic.Replicas }).Should(Equal(int32(4)))
		home.finish(ctx, "b", "rival")
		home.suspend(ctx, "a", "elastic", true)
		Eventually(home.reasonOf("a", "elastic", v1alpha1.ConditionSuspended)).Should(Equal(v1alpha1.ReasonSuspended))
		Eventually(func() string { return home.reserved(ctx, "a") }).Should(Equal("0"))
		home.suspend(ctx, "a", "elastic", false)
		Eventually(home.reasonOf("a", "elastic", v1alpha1.ConditionRunning)).Should(Equal(v1alpha1.ReasonAllRunning))
		Expect(home.podsOf(ctx, "a", "elastic")).To(HaveLen(7))
		home.finish(ctx, "a", "elastic")
	})

	It("keeps the pods away from a job whose Workload somebody deactivates", func(ctx SpecContext) {
		Expect(admin.Create(ctx, training("a", "stopped", 3))).To(Succeed())
		Eventually(home.reasonOf("a", "stopped", v1alpha1.ConditionRunning)).Should(Equal(v1alpha1.ReasonAllRunning))
		home.activate(ctx, "a", "stopped", false)
		Eventually(func() int { return len(home.podsOf(ctx, "a", "stopped")) }).Should(BeZero())
		Eventually(home.reasonOf("a", "stopped", v1alpha1.ConditionScheduled)).Should(Equal(v1alpha1.ReasonEvicted))
		Eventually(func() bool { return home.workloadOf(ctx, "a", "stopped").Is(kueue.QuotaReserved) }).Should(BeFalse())
		home.activate(ctx, "a", "stopped", true)
		Eventually(home.reasonOf("a", "stopped", v1alpha1.ConditionRunning)).Should(Equal(v1alpha1.ReasonAllRunning))
		home.finish(ctx, "a", "stopped")
	})

	It("places the pods of a job in one rack, and counts no device twice", func(ctx SpecContext) {
		for _, rack := range []string{"r1", "r2"} {
			home.addNode(ctx, rack, rack+"-x")
			home.addNode(ctx, rack, rack+"-y")
		}
		home.apply(racks)
		home.apply(fmt.Sprintf(strings.ReplaceAll(team, "a100", "racks"), "c", 8))
		sizes := map[string]int32{"whole": 4, "half": 2, "other": 2}
		for _, name := range []string{"whole", "half", "other"} {
			job := training("c", name, sizes[name])
			job.Spec.Scheduling.Topology = &v1alpha1.Topology{Key: "example.com/rack", Mode: "Required"}
			Expect(admin.Create(ctx, job)).To(Succeed())
			Eventually(home.reasonOf("c", name, v1alpha1.ConditionRunning)).Should(Equal(v1alpha1.ReasonAllRunning), name)
			Expect(racksOf(home.podsOf(ctx, "c", name))).To(HaveLen(1), name)
		}
		for _, name := range []string{"whole", "half", "other"} {
			home.finish(ctx, "c", name)
		}
	})

	It("lets in whatever the mix, all of it in the end and never too much at once", func(ctx SpecContext) {
		dice := rand.New(rand.NewPCG(4, 2))
		waiting := map[client.ObjectKey]bool{}
		for i := range 12 {
			namespace := []string{"a", "b"}[dice.IntN(2)]
			job := training(namespace, "mix-"+strconv.Itoa(i), int32(1+dice.IntN(2*quota)))
			Expect(admin.Create(ctx, job)).To(Succeed())
			waiting[client.ObjectKeyFromObject(job)] = true
		}
		Eventually(func() int {
			for key := range waiting {
				if home.reasonOf(key.Namespace, key.Name, v1alpha1.ConditionRunning)() == v1alpha1.ReasonAllRunning {
					home.succeed(ctx, key.Namespace, key.Name)
				}
				if home.jobOf(ctx, key.Namespace, key.Name).Status.Phase == v1alpha1.PhaseSucceeded {
					delete(waiting, key)
				}
			}
			return len(waiting)
		}).WithTimeout(3 * patience).Should(BeZero())
		Expect(devices.peak()).To(BeNumerically(">", quota), "quota was borrowed at some time")
	})
})

// racks are two racks of two nodes of two devices each, as Kueue's topology sees them.
const racks = `
apiVersion: kueue.x-k8s.io/v1beta2
kind: Topology
metadata: {name: racks}
spec: {levels: [{nodeLabel: example.com/rack}, {nodeLabel: kubernetes.io/hostname}]}
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: ResourceFlavor
metadata: {name: racks}
spec: {nodeLabels: {gpu.example.com/model: h100}, topologyName: racks}
`

func (c *cluster) addNode(ctx context.Context, rack, name string) {
	GinkgoHelper()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
		"example.com/rack": rack, corev1.LabelHostname: name, "gpu.example.com/model": "h100",
	}}}
	Expect(c.admin.Create(ctx, node)).To(Succeed())
	node.Spec.Taints = nil // that it is not ready, which no node controller takes away here
	Expect(c.admin.Update(ctx, node)).To(Succeed())
	node.Status.Allocatable = corev1.ResourceList{gpu: resource.MustParse("2"), corev1.ResourcePods: resource.MustParse("100")}
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady"}}
	Expect(c.admin.Status().Update(ctx, node)).To(Succeed())
}

// racksOf are the racks that pods are bound to by their node selectors, with the number of pods in each; a node takes two.
func racksOf(pods []corev1.Pod) map[string]int {
	GinkgoHelper()
	racks, nodes := map[string]int{}, map[string]int{}
	for _, p := range pods {
		racks[p.Spec.NodeSelector["example.com/rack"]]++
		nodes[p.Spec.NodeSelector[corev1.LabelHostname]]++
	}
	for node, n := range nodes {
		Expect(n).To(BeNumerically("<=", 2), node)
	}
	return racks
}

// training is a job of a master and workers, with a device for each.
func training(namespace, name string, size int32) *v1alpha1.TrainingJob {
	template := corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{
		Name: "pytorch", Image: "digits:1", Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{gpu: resource.MustParse("1")}},
	}}}}
	job := &v1alpha1.TrainingJob{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.TrainingJobSpec{
			Framework: v1alpha1.PyTorch, Scheduling: &v1alpha1.Scheduling{Queue: "gpus"},
			Roles: []v1alpha1.Role{{Name: "Master", Template: template}, {Name: "Worker", Template: template, Replicas: new(size - 1)}},
		},
	}
	if size == 1 {
		job.Spec.Roles[1].Replicas = new(int32(1))
		job.Spec.Roles[1].Template.Spec.Containers = []corev1.Container{{Name: "pytorch", Image: "digits:1"}}
	}
	return job
}

func (c *cluster) jobOf(ctx context.Context, namespace, name string) *v1alpha1.TrainingJob {
	GinkgoHelper()
	job := &v1alpha1.TrainingJob{}
	Expect(c.admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, job)).To(Succeed())
	return job
}

func (c *cluster) conditionOf(namespace, name, kind string) metav1.Condition {
	GinkgoHelper()
	return *meta.FindStatusCondition(c.jobOf(context.Background(), namespace, name).Status.Conditions, kind)
}

func (c *cluster) reasonOf(namespace, name, kind string) func() string {
	return func() string { return c.conditionOf(namespace, name, kind).Reason }
}

func (c *cluster) messageOf(namespace, name, kind string) func() string {
	return func() string { return c.conditionOf(namespace, name, kind).Message }
}

func (c *cluster) podsOf(ctx context.Context, namespace, job string) []corev1.Pod {
	GinkgoHelper()
	var list corev1.PodList
	Expect(c.admin.List(ctx, &list, client.InNamespace(namespace), client.MatchingLabels{names.TrainingJob: job})).To(Succeed())
	return list.Items
}

func (c *cluster) workloadOf(ctx context.Context, namespace, job string) *kueue.Workload {
	GinkgoHelper()
	u := object(kueue.WorkloadKind.Kind, namespace, names.Workload(job))
	Expect(c.admin.Get(ctx, client.ObjectKeyFromObject(u), u)).To(Succeed())
	w, err := kueue.Read[kueue.Workload](u)
	Expect(err).NotTo(HaveOccurred())
	return w
}

func object(kind, namespace, name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(kueue.WorkloadKind.GroupVersion().WithKind(kind))
	u.SetNamespace(namespace)
	u.SetName(name)
	return u
}

// reserved is the number of devices that a ClusterQueue has given away.
func (c *cluster) reserved(ctx context.Context, clusterQueue string) string {
	GinkgoHelper()
	u := object("ClusterQueue", "", clusterQueue)
	Expect(c.admin.Get(ctx, client.ObjectKeyFromObject(u), u)).To(Succeed())
	flavors, _, err := unstructured.NestedSlice(u.Object, "status", "flavorsReservation")
	Expect(err).NotTo(HaveOccurred())
	Expect(flavors).To(HaveLen(1))
	resources := flavors[0].(map[string]any)["resources"].([]any)
	return fmt.Sprint(resources[0].(map[string]any)["total"])
}

func (c *cluster) suspend(ctx context.Context, namespace, name string, on bool) {
	GinkgoHelper()
	job := c.jobOf(ctx, namespace, name)
	before := job.DeepCopy()
	job.Spec.RunPolicy.Suspend = &on
	Expect(c.admin.Patch(ctx, job, client.MergeFrom(before))).To(Succeed())
}

func (c *cluster) activate(ctx context.Context, namespace, job string, on bool) {
	GinkgoHelper()
	u := object(kueue.WorkloadKind.Kind, namespace, names.Workload(job))
	Expect(c.admin.Patch(ctx, u, client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"spec":{"active":%t}}`, on)))).To(Succeed())
}

// succeed ends every pod of a job well.
func (c *cluster) succeed(ctx context.Context, namespace, name string) {
	for _, p := range c.podsOf(ctx, namespace, name) {
		if p.DeletionTimestamp == nil {
			_ = setPhase(ctx, c.admin, &p, corev1.PodSucceeded)
		}
	}
}

// finish ends a job well and waits until Kueue knows.
func (c *cluster) finish(ctx context.Context, namespace, name string) {
	GinkgoHelper()
	Eventually(func() string {
		c.succeed(ctx, namespace, name)
		return c.jobOf(ctx, namespace, name).Status.Phase
	}).Should(Equal(v1alpha1.PhaseSucceeded))
	Eventually(func() bool { return c.workloadOf(ctx, namespace, name).Is(kueue.Finished) }).Should(BeTrue())
}
