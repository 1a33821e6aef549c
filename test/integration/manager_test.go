// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"os"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	resourcev1 "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/controllers"
	"github.com/millrace-ml/millrace/internal/config"
	"github.com/millrace-ml/millrace/internal/envtest"
	"github.com/millrace-ml/millrace/internal/names"
)

const patience = 20 * time.Second

var _ = Describe("the manager", Ordered, func() {
	var (
		admin     client.WithWatch
		namespace string
		requests  *envtest.Counter
		leader    context.CancelFunc
	)

	BeforeAll(func() {
		scheme, err := controllers.Scheme()
		Expect(err).NotTo(HaveOccurred())
		admin = server.Client(GinkgoTB(), scheme)
		allow(admin)
		allowWorkloads(context.Background(), admin)
		leader, requests = start("one")
	})
	BeforeEach(func() { namespace = server.Namespace(GinkgoTB()) })

	condition := func(kind string) func() string {
		return func() string {
			job := &v1alpha1.TrainingJob{}
			if err := admin.Get(context.Background(), client.ObjectKey{Namespace: namespace, Name: "digits"}, job); err != nil {
				return err.Error()
			}
			c := meta.FindStatusCondition(job.Status.Conditions, kind)
			return string(c.Status) + " " + c.Reason
		}
	}

	It("runs a job to its end, within what its role allows", func(ctx SpecContext) {
		Expect(admin.Create(ctx, digits(namespace))).To(Succeed())
		Eventually(func() int { return len(pods(ctx, admin, namespace)) }).WithTimeout(patience).Should(Equal(3))
		play(ctx, admin, namespace, corev1.PodRunning)
		Eventually(condition(v1alpha1.ConditionRunning)).WithTimeout(patience).Should(Equal("True AllRunning"))
		play(ctx, admin, namespace, corev1.PodSucceeded)
		Eventually(condition(v1alpha1.ConditionSucceeded)).WithTimeout(patience).Should(Equal("True TrainingSucceeded"))
	})

	It("sends nothing when nothing changes", func(ctx SpecContext) {
		Expect(admin.Create(ctx, digits(namespace))).To(Succeed())
		Eventually(func() int { return len(pods(ctx, admin, namespace)) }).WithTimeout(patience).Should(Equal(3))
		play(ctx, admin, namespace, corev1.PodRunning)
		Eventually(condition(v1alpha1.ConditionRunning)).WithTimeout(patience).Should(Equal("True AllRunning"))
		// What may wait is stored a few seconds later, the last counts of the job before this one among it.
		silent := 0
		listen := func() int {
			silent++
			if len(requests.Requests()) > 0 {
				silent = 0
			}
			requests.Reset()
			return silent
		}
		Eventually(listen).WithTimeout(3 * patience).WithPolling(6 * time.Second).Should(BeNumerically(">=", 2))
		Consistently(requests.Total).WithTimeout(8 * time.Second).Should(BeEmpty())
	})

	It("replaces a pod that somebody deletes and charges nobody", func(ctx SpecContext) {
		Expect(admin.Create(ctx, digits(namespace))).To(Succeed())
		Eventually(func() int { return len(pods(ctx, admin, namespace)) }).WithTimeout(patience).Should(Equal(3))
		play(ctx, admin, namespace, corev1.PodRunning)
		victim := pods(ctx, admin, namespace)[0]
		Expect(admin.Delete(ctx, &victim, client.GracePeriodSeconds(0))).To(Succeed())
		Eventually(func() bool {
			now := &corev1.Pod{}
			err := admin.Get(ctx, client.ObjectKeyFromObject(&victim), now)
			return err == nil && now.UID != victim.UID
		}).WithTimeout(patience).Should(BeTrue())
		job := &v1alpha1.TrainingJob{}
		Expect(admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "digits"}, job)).To(Succeed())
		for _, r := range job.Status.Restarts {
			Expect(r.Count+r.InPlace).To(BeZero(), r.Unit)
		}
	})

	It("shows what the kubelet says of a volume that cannot be mounted", func(ctx SpecContext) {
		Expect(admin.Create(ctx, digits(namespace))).To(Succeed())
		Eventually(func() int { return len(pods(ctx, admin, namespace)) }).WithTimeout(patience).Should(Equal(3))
		stuck := pods(ctx, admin, namespace)[1]
		node := &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: "node-1"}}
		Expect(admin.SubResource("binding").Create(ctx, &stuck, node)).To(Succeed())
		Expect(admin.Create(ctx, &corev1.Event{
			ObjectMeta:     metav1.ObjectMeta{Namespace: namespace, Name: "mount"},
			InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: namespace, Name: stuck.Name, UID: stuck.UID},
			Reason:         "FailedMount", Message: `MountVolume.SetUp failed for volume "data" : secret "data" not found`,
		})).To(Succeed())
		Eventually(condition(v1alpha1.ConditionRunning)).WithTimeout(patience).Should(Equal("False PodCannotStart"))
	})

	It("suspends and resumes, and deletes a job whose time is over", func(ctx SpecContext) {
		job := digits(namespace)
		job.Spec.RunPolicy.TTLSecondsAfterFinished = new(int32(1))
		Expect(admin.Create(ctx, job)).To(Succeed())
		Eventually(func() int { return len(pods(ctx, admin, namespace)) }).WithTimeout(patience).Should(Equal(3))
		suspend(ctx, admin, job, true)
		Eventually(func() int { return len(pods(ctx, admin, namespace)) }).WithTimeout(patience).Should(BeZero())
		Eventually(condition(v1alpha1.ConditionSuspended)).WithTimeout(patience).Should(Equal("True Suspended"))
		suspend(ctx, admin, job, false)
		Eventually(func() int { return len(pods(ctx, admin, namespace)) }).WithTimeout(patience).Should(Equal(3))
		play(ctx, admin, namespace, corev1.PodSucceeded)
		Eventually(func() bool {
			return apierrors.IsNotFound(admin.Get(ctx, client.ObjectKeyFromObject(job), job))
		}).WithTimeout(patience).Should(BeTrue())
	})

	It("fails a job at its deadline without being told", func(ctx SpecContext) {
		job := digits(namespace)
		job.Spec.RunPolicy.ActiveDeadlineSeconds = new(int32(2))
		Expect(admin.Create(ctx, job)).To(Succeed())
		Eventually(condition(v1alpha1.ConditionSucceeded)).WithTimeout(patience).Should(Equal("False DeadlineExceeded"))
	})

	It("removes a pod by force from a node that does not answer", func(ctx SpecContext) {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "silent"}}
		Expect(admin.Create(ctx, node)).To(Succeed())
		node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionUnknown, Reason: "NodeStatusUnknown"}}
		Expect(admin.Status().Update(ctx, node)).To(Succeed())
		job := digits(namespace)
		job.Spec.RunPolicy.TerminatingTimeoutSeconds = new(int32(1))
		Expect(admin.Create(ctx, job)).To(Succeed())
		Eventually(func() int { return len(pods(ctx, admin, namespace)) }).WithTimeout(patience).Should(Equal(3))
		stuck := pods(ctx, admin, namespace)[2]
		Expect(admin.SubResource("binding").Create(ctx, &stuck, &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: node.Name}})).To(Succeed())
		Expect(admin.Delete(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: stuck.Name}}, client.GracePeriodSeconds(1))).To(Succeed())
		Eventually(func() bool {
			now := &corev1.Pod{}
			err := admin.Get(ctx, client.ObjectKeyFromObject(&stuck), now)
			return err == nil && now.UID != stuck.UID
		}).WithTimeout(patience).Should(BeTrue())
	})

	It("moves a pod away from a node that turns bad, and forgives the node when it is mended", func(ctx SpecContext) {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "gpu-1"}}
		Expect(admin.Create(ctx, node)).To(Succeed())
		Expect(admin.Create(ctx, digits(namespace))).To(Succeed())
		Eventually(func() int { return len(pods(ctx, admin, namespace)) }).WithTimeout(patience).Should(Equal(3))
		victim := pods(ctx, admin, namespace)[2]
		Expect(admin.SubResource("binding").Create(ctx, &victim, &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: node.Name}})).To(Succeed())
		play(ctx, admin, namespace, corev1.PodRunning)
		Eventually(condition(v1alpha1.ConditionRunning)).WithTimeout(patience).Should(Equal("True AllRunning"))
		node.Status.Conditions = []corev1.NodeCondition{{Type: "GpuXidError", Status: corev1.ConditionTrue, Reason: "Xid79"}}
		Expect(admin.Status().Update(ctx, node)).To(Succeed())
		moved := &corev1.Pod{}
		Eventually(func() bool {
			err := admin.Get(ctx, client.ObjectKeyFromObject(&victim), moved)
			return err == nil && moved.UID != victim.UID
		}).WithTimeout(patience).Should(BeTrue())
		Expect(moved.Annotations).To(HaveKeyWithValue(names.Avoids, node.Name))
		terms := moved.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
		Expect(terms[0].MatchFields[0].Values).To(ConsistOf(node.Name))
		Eventually(condition(v1alpha1.ConditionRestarting)).WithTimeout(patience).Should(Equal("True NodeUnhealthy"))
		node.Status.Conditions[0].Status = corev1.ConditionFalse
		Expect(admin.Status().Update(ctx, node)).To(Succeed())
		job := &v1alpha1.TrainingJob{}
		Eventually(func() []v1alpha1.JudgedNode {
			Expect(admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "digits"}, job)).To(Succeed())
			return job.Status.Nodes
		}).WithTimeout(patience).Should(BeEmpty())
		Expect(job.Status.Restarts).To(HaveLen(1))
		Expect(job.Status.Restarts[0].Count).To(BeZero())
	})

	It("names the rule by which a pod was taken from its device", func(ctx SpecContext) {
		Expect(admin.Create(ctx, &resourcev1.DeviceTaintRule{
			ObjectMeta: metav1.ObjectMeta{Name: "broken-gpu"},
			Spec: resourcev1.DeviceTaintRuleSpec{
				DeviceSelector: &resourcev1.DeviceTaintSelector{Pool: new("gpu-2"), Device: new("gpu-7")},
				Taint:          resourcev1.DeviceTaint{Key: "example.com/broken", Value: "ecc", Effect: resourcev1.DeviceTaintEffectNoExecute},
			},
		})).To(Succeed())
		Expect(admin.Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "gpu-2"}})).To(Succeed())
		job := digits(namespace)
		job.Spec.Roles[1].Template.Spec.TerminationGracePeriodSeconds = new(int64(600))
		Expect(admin.Create(ctx, job)).To(Succeed())
		Eventually(func() int { return len(pods(ctx, admin, namespace)) }).WithTimeout(patience).Should(Equal(3))
		victim := pods(ctx, admin, namespace)[2]
		Expect(admin.SubResource("binding").Create(ctx, &victim, &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: "gpu-2"}})).To(Succeed())
		play(ctx, admin, namespace, corev1.PodRunning)
		Eventually(condition(v1alpha1.ConditionRunning)).WithTimeout(patience).Should(Equal("True AllRunning"))
		Expect(admin.Get(ctx, client.ObjectKeyFromObject(&victim), &victim)).To(Succeed())
		victim.Status.Conditions = append(victim.Status.Conditions, corev1.PodCondition{
			Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "DeletionByDeviceTaintManager",
		})
		Expect(admin.Status().Update(ctx, &victim)).To(Succeed())
		Expect(admin.Delete(ctx, &victim)).To(Succeed())
		Eventually(condition(v1alpha1.ConditionRestarting)).WithTimeout(patience).Should(Equal("True DeviceUnhealthy"))
		Expect(admin.Get(ctx, client.ObjectKeyFromObject(job), job)).To(Succeed())
		Expect(job.Status.Failure.Message).To(Equal("DeviceTaintRule broken-gpu puts example.com/broken=ecc:NoExecute on device gpu-7 of node gpu-2"))
	})

	It("launches over ssh with keys made once, when the workers are ready", func(ctx SpecContext) {
		job := digits(namespace)
		job.Spec.Framework, job.Spec.Roles[0].Name = v1alpha1.MPI, "Launcher"
		Expect(admin.Create(ctx, job)).To(Succeed())
		Eventually(func() int { return len(pods(ctx, admin, namespace)) }).WithTimeout(patience).Should(Equal(2))
		Eventually(condition(v1alpha1.ConditionRunning)).WithTimeout(patience).Should(Equal("False WaitingForScheduler"))
		keys := &corev1.Secret{}
		Expect(admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "digits-ssh"}, keys)).To(Succeed())
		Expect(keys.Data).To(And(HaveKey("ssh-privatekey"), HaveKey("ssh-publickey"), HaveKey("ssh-config")))
		play(ctx, admin, namespace, corev1.PodRunning)
		Eventually(func() int { return len(pods(ctx, admin, namespace)) }).WithTimeout(patience).Should(Equal(3))
		files := &corev1.ConfigMap{}
		Expect(admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "digits-config"}, files)).To(Succeed())
		Expect(files.Data["hostfile"]).To(ContainSubstring("digits-worker-1.digits." + namespace + ".svc slots=1\n"))
		again := &corev1.Secret{}
		Expect(admin.Get(ctx, client.ObjectKeyFromObject(keys), again)).To(Succeed())
		Expect(again.UID).To(Equal(keys.UID))
	})

	itGivesDevices(&admin, &namespace)
	itRunsNotebooks(&admin, &namespace)

	itSearches(&admin, &namespace, &requests)

	itSharesTheCluster(&admin, &namespace)

	It("places a gang when a scheduler for it is installed and lets it in", func(ctx SpecContext) {
		placeGang(ctx, admin, namespace, condition(v1alpha1.ConditionScheduled))
	})

	It("lets go of a gang that waits for the rest in vain, and tries again", func(ctx SpecContext) {
		releaseGang(ctx, admin, namespace, condition(v1alpha1.ConditionScheduled))
	})

	It("leaves a job alone that another controller runs", func(ctx SpecContext) {
		foreign, ours := digits(namespace), digits(namespace)
		foreign.Name, foreign.Spec.ManagedBy = "elsewhere", "example.com/other"
		Expect(admin.Create(ctx, foreign)).To(Succeed())
		Expect(admin.Create(ctx, ours)).To(Succeed())
		Eventually(func() int { return len(pods(ctx, admin, namespace)) }).WithTimeout(patience).Should(Equal(3))
		Expect(admin.Get(ctx, client.ObjectKeyFromObject(foreign), foreign)).To(Succeed())
		Expect(foreign.Status.ObservedGeneration).To(BeZero())
		Expect(meta.FindStatusCondition(foreign.Status.Conditions, v1alpha1.ConditionAccepted).Reason).To(Equal(v1alpha1.ReasonPending))
	})

	It("hands over when the leader is gone, without a second pod of anything", func(ctx SpecContext) {
		Expect(admin.Create(ctx, digits(namespace))).To(Succeed())
		Eventually(func() int { return len(pods(ctx, admin, namespace)) }).WithTimeout(patience).Should(Equal(3))
		before := pods(ctx, admin, namespace)
		second, _ := start("two")
		DeferCleanup(func() { second() })
		leader()
		play(ctx, admin, namespace, corev1.PodRunning)
		Eventually(condition(v1alpha1.ConditionRunning)).WithTimeout(2 * patience).Should(Equal("True AllRunning"))
		after := pods(ctx, admin, namespace)
		Expect(after).To(HaveLen(3))
		for i := range after {
			Expect(after[i].UID).To(Equal(before[i].UID))
		}
	})

	It("cordons a bad node where it is told to and may, and uncordons it when it is healthy", func(ctx SpecContext) {
		leader()
		stop, _ := start("cordons", func(c *config.Config) { c.Healing.Cordon, c.Healing.AvoidFor.Duration = "Allow", time.Second })
		DeferCleanup(func() { stop() })
		cordonNodes(ctx, admin)
	})

	It("says of a Profile that its namespace is not watched, and leaves it at that", func(ctx SpecContext) {
		leader()
		stop, requests := start("some", func(c *config.Config) { c.Namespaces = []string{"team-w", namespace} })
		DeferCleanup(func() { stop() })
		watchSome(ctx, admin, requests)
	})
})

// start runs a manager as the user the role is bound to, with changes of its configuration, and returns how to stop it and what it asks.
func start(name string, changes ...func(*config.Config)) (context.CancelFunc, *envtest.Counter) {
	scheme, err := controllers.Scheme()
	Expect(err).NotTo(HaveOccurred())
	user, requests := envtest.Counted(server.User(GinkgoTB(), "manager-"+name, "managers"))
	cfg := config.Default()
	cfg.LeaderElection.Namespace, cfg.Metrics.BindAddress, cfg.Health.BindAddress = "default", "", ""
	for _, change := range changes {
		change(&cfg)
	}
	Expect(cfg.Validate()).To(Succeed())
	options := cfg.Manager(controllers.CacheOptions())
	options.Scheme = scheme
	options.Controller.SkipNameValidation = new(true)
	mgr, err := ctrl.NewManager(user, options)
	Expect(err).NotTo(HaveOccurred())
	ctx, cancel := context.WithCancel(context.Background())
	DeferCleanup(func() { cancel() })
	Expect(controllers.Setup(ctx, mgr, controllers.Options{
		Healing: cfg.Healing.Policy(), Profiles: cfg.Tenants(), Metrics: controllers.Metrics{Meter: meter},
		Notebooks: cfg.Notebooks(), Probing: cfg.Notebook.Probing(),
	})).To(Succeed())
	go func() {
		defer GinkgoRecover()
		Expect(mgr.Start(ctx)).To(Succeed())
	}()
	return cancel, requests
}

// allow binds the managers to the generated role, and to the lease they elect a leader by.
func allow(admin client.Client) {
	text, err := os.ReadFile("../../config/rbac/role.yaml")
	Expect(err).NotTo(HaveOccurred())
	role := &rbacv1.ClusterRole{}
	Expect(yaml.Unmarshal(text, role)).To(Succeed())
	lease := &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "lease"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Verbs: []string{"*"}}},
	}
	for _, r := range []*rbacv1.ClusterRole{role, lease} {
		bind(context.Background(), admin, r)
	}
}

// bind lets the managers do what a role allows.
func bind(ctx context.Context, admin client.Client, r *rbacv1.ClusterRole) {
	GinkgoHelper()
	Expect(admin.Create(ctx, r)).To(Succeed())
	Expect(admin.Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: r.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: r.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "managers"}},
	})).To(Succeed())
}

func digits(namespace string) *v1alpha1.TrainingJob {
	template := corev1.PodTemplateSpec{Spec: corev1.PodSpec{
		Containers: []corev1.Container{{Name: "pytorch", Image: "digits:1"}}, TerminationGracePeriodSeconds: new(int64(0)),
	}}
	return &v1alpha1.TrainingJob{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "digits"},
		Spec: v1alpha1.TrainingJobSpec{Framework: v1alpha1.PyTorch, Roles: []v1alpha1.Role{
			{Name: "Master", Template: template}, {Name: "Worker", Replicas: new(int32(2)), Template: template},
		}},
	}
}

func suspend(ctx context.Context, c client.Client, job *v1alpha1.TrainingJob, on bool) {
	GinkgoHelper()
	before := job.DeepCopy()
	job.Spec.RunPolicy.Suspend = &on
	Expect(c.Patch(ctx, job, client.MergeFrom(before))).To(Succeed())
}

func pods(ctx context.Context, c client.Client, namespace string) []corev1.Pod {
	var list corev1.PodList
	Expect(c.List(ctx, &list, client.InNamespace(namespace))).To(Succeed())
	return list.Items
}

// play sets the phase of every pod, as a kubelet would.
func play(ctx context.Context, c client.Client, namespace string, phase corev1.PodPhase) {
	GinkgoHelper()
	for _, p := range pods(ctx, c, namespace) {
		before := p.DeepCopy()
		p.Status.Phase = phase
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue})
		// The manager may be writing to the pod too: a patch is of what a kubelet says.
		Expect(client.IgnoreNotFound(c.Status().Patch(ctx, &p, client.MergeFrom(before)))).To(Succeed())
	}
}
