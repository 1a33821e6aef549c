// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package extended

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/envtest"
	"github.com/millrace-ml/millrace/internal/kueue"
	"github.com/millrace-ml/millrace/internal/names"
)

// gate is a queue whose jobs run in the cluster of a Secret with its kubeconfig.
const gate = `
apiVersion: kueue.x-k8s.io/v1beta2
kind: MultiKueueCluster
metadata: {name: far}
spec: {clusterSource: {kubeConfig: {location: far, locationType: Secret}}}
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: MultiKueueConfig
metadata: {name: far}
spec: {clusters: [far]}
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: AdmissionCheck
metadata: {name: far}
spec:
  controllerName: kueue.x-k8s.io/multikueue
  parameters: {apiGroup: kueue.x-k8s.io, kind: MultiKueueConfig, name: far}
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: ClusterQueue
metadata: {name: gate}
spec:
  namespaceSelector: {}
  preemption: {withinClusterQueue: LowerPriority}
  admissionChecksStrategy: {admissionChecks: [{name: far}]}
  resourceGroups:
  - coveredResources: [example.com/gpu]
    flavors: [{name: plain, resources: [{name: example.com/gpu, nominalQuota: 4}]}]
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: LocalQueue
metadata: {name: gpus, namespace: team}
spec: {clusterQueue: gate}
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: WorkloadPriorityClass
metadata: {name: urgent}
value: 1000
`

// farTeam is the same queue in the other cluster, with a flavor of its own.
const farTeam = `
apiVersion: kueue.x-k8s.io/v1beta2
kind: ClusterQueue
metadata: {name: far}
spec:
  namespaceSelector: {}
  resourceGroups:
  - coveredResources: [example.com/gpu]
    flavors: [{name: a100, resources: [{name: example.com/gpu, nominalQuota: 4}]}]
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: LocalQueue
metadata: {name: gpus, namespace: team}
spec: {clusterQueue: far}
`

const plain = `
apiVersion: kueue.x-k8s.io/v1beta2
kind: ResourceFlavor
metadata: {name: plain}
`

var _ = Describe("jobs that the real MultiKueue runs in another cluster", Label("kueue"), Ordered, func() {
	var hub, far *cluster

	BeforeAll(func(ctx SpecContext) {
		needKueue()
		hub, far = anotherCluster(), anotherCluster()
		for _, c := range []*cluster{hub, far} {
			c.startManager()
			c.playCollector()
			Expect(c.admin.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team"}})).To(Succeed())
		}
		far.playKubelet(4, "team")
		hub.startKueue("kueue-hub")
		far.startKueue("kueue-far")
		far.apply(flavor)
		far.apply(farTeam)
		Expect(hub.admin.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: "kueue-system", Name: "far"},
			Data:       map[string][]byte{"kubeconfig": far.Kubeconfig(GinkgoTB(), "multikueue", "system:masters")},
		})).To(Succeed())
		hub.apply(plain)
		hub.apply(gate)
	})

	It("makes the pods there, and says here how they are", func(ctx SpecContext) {
		Expect(hub.admin.Create(ctx, sent("digits", 4))).To(Succeed())
		Eventually(hub.reasonOf("team", "digits", v1alpha1.ConditionRunning)).Should(Equal(v1alpha1.ReasonAllRunning))
		Expect(hub.podsOf(ctx, "team", "digits")).To(BeEmpty())
		pods := far.podsOf(ctx, "team", "digits")
		Expect(pods).To(HaveLen(4))
		for _, p := range pods {
			Expect(p.Spec.NodeSelector).To(Equal(map[string]string{"gpu.example.com/model": "a100"}), "the flavor is the other cluster's")
		}
		copied := far.jobOf(ctx, "team", "digits")
		Expect(copied.Labels).To(HaveKeyWithValue(kueue.PrebuiltLabel, "trainingjob-digits"))
		workloads := far.workloads(ctx)
		Expect(workloads).To(HaveLen(1), "none is made beside the one that was sent")
		Expect(metav1.IsControlledBy(&workloads[0], copied)).To(BeTrue())
		Eventually(func() v1alpha1.TrainingJobStatus { return hub.jobOf(ctx, "team", "digits").Status }).Should(Equal(far.jobOf(ctx, "team", "digits").Status))
		Expect(apierrors.IsNotFound(hub.admin.Get(ctx, client.ObjectKeyFromObject(copied), &corev1.Service{}))).To(BeTrue())
	})

	It("gives way to a job of higher priority, and comes back", func(ctx SpecContext) {
		urgent := sent("urgent", 4)
		urgent.Labels = map[string]string{kueue.PriorityLabel: "urgent"}
		Expect(hub.admin.Create(ctx, urgent)).To(Succeed())
		Eventually(hub.reasonOf("team", "urgent", v1alpha1.ConditionRunning)).Should(Equal(v1alpha1.ReasonAllRunning))
		Expect(far.podsOf(ctx, "team", "urgent")).To(HaveLen(4))
		Eventually(hub.reasonOf("team", "digits", v1alpha1.ConditionScheduled)).Should(Equal(v1alpha1.ReasonQueuePending))
		Eventually(func() int { return len(far.podsOf(ctx, "team", "digits")) }).Should(BeZero())
		Eventually(far.gone(ctx, "digits")).Should(BeTrue())
		far.end(ctx, hub, "urgent")
		Eventually(hub.reasonOf("team", "digits", v1alpha1.ConditionRunning)).Should(Equal(v1alpha1.ReasonAllRunning))
	})

	It("leaves the other cluster while it is suspended", func(ctx SpecContext) {
		hub.suspend(ctx, "team", "digits", true)
		Eventually(hub.reasonOf("team", "digits", v1alpha1.ConditionSuspended)).Should(Equal(v1alpha1.ReasonSuspended))
		Eventually(far.gone(ctx, "digits")).Should(BeTrue())
		hub.suspend(ctx, "team", "digits", false)
		Eventually(hub.reasonOf("team", "digits", v1alpha1.ConditionRunning)).Should(Equal(v1alpha1.ReasonAllRunning))
	})

	It("ends here as it ends there, and nothing is left there", func(ctx SpecContext) {
		far.end(ctx, hub, "digits")
		Eventually(far.gone(ctx, "digits")).Should(BeTrue())
		job := hub.jobOf(ctx, "team", "digits")
		Expect(job.Status.ObservedGeneration).To(Equal(job.Generation), "kstatus reads the end of it")
		Expect(meta.FindStatusCondition(job.Status.Conditions, v1alpha1.ConditionSucceeded).Reason).To(Equal(v1alpha1.ReasonTrainingSucceeded))
	})

	It("ends there when it is deleted here", func(ctx SpecContext) {
		job := sent("other", 2)
		Expect(hub.admin.Create(ctx, job)).To(Succeed())
		Eventually(hub.reasonOf("team", "other", v1alpha1.ConditionRunning)).Should(Equal(v1alpha1.ReasonAllRunning))
		Expect(hub.admin.Delete(ctx, job)).To(Succeed())
		Eventually(far.gone(ctx, "other")).Should(BeTrue())
		Eventually(func() []unstructured.Unstructured { return far.workloads(ctx) }).Should(BeEmpty())
	})
})

// anotherCluster is one more API server, until the specs are over.
func anotherCluster() *cluster {
	GinkgoHelper()
	server, err := envtest.New()
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(server.Stop)
	return newCluster(GinkgoTB(), server)
}

// sent is a job for another cluster.
func sent(name string, size int32) *v1alpha1.TrainingJob {
	job := training("team", name, size)
	job.Spec.ManagedBy = kueue.MultiKueue
	return job
}

// end ends a job well in the cluster that it runs in, and waits until the cluster that it comes from says so.
func (c *cluster) end(ctx context.Context, hub *cluster, name string) {
	GinkgoHelper()
	Eventually(func() string {
		c.succeed(ctx, "team", name)
		return hub.jobOf(ctx, "team", name).Status.Phase
	}).Should(Equal(v1alpha1.PhaseSucceeded))
	Eventually(func() bool { return hub.workloadOf(ctx, "team", name).Is(kueue.Finished) }).Should(BeTrue())
}

// gone is true when there is nothing of a job in the cluster.
func (c *cluster) gone(ctx context.Context, name string) func() bool {
	return func() bool {
		err := c.admin.Get(ctx, client.ObjectKey{Namespace: "team", Name: name}, &v1alpha1.TrainingJob{})
		return apierrors.IsNotFound(err) && len(c.podsOf(ctx, "team", name)) == 0
	}
}

// workloads are those that there are in the cluster.
func (c *cluster) workloads(ctx context.Context) []unstructured.Unstructured {
	GinkgoHelper()
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(kueue.WorkloadKind)
	Expect(c.admin.List(ctx, list, client.InNamespace("team"))).To(Succeed())
	return list.Items
}

// playCollector deletes what a deleted job owned, as the garbage collector does that an API server alone has not.
func (c *cluster) playCollector() {
	GinkgoHelper()
	ctx, cancel := context.WithCancel(context.Background())
	events, err := c.admin.Watch(ctx, &v1alpha1.TrainingJobList{})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() {
		cancel()
		events.Stop()
	})
	go func() {
		for event := range events.ResultChan() {
			if job, ok := event.Object.(*v1alpha1.TrainingJob); ok && event.Type == watch.Deleted {
				in, of := client.InNamespace(job.Namespace), client.MatchingLabels{names.TrainingJob: job.Name}
				_ = c.admin.DeleteAllOf(ctx, &corev1.Pod{}, in, of)
				_ = c.admin.DeleteAllOf(ctx, object(kueue.WorkloadKind.Kind, "", ""), in, of)
				_ = client.IgnoreNotFound(c.admin.Delete(ctx, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: job.Namespace, Name: job.Name}}))
			}
		}
	}()
}
