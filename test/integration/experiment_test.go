// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
	"sigs.k8s.io/yaml"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/condition"
	"github.com/millrace-ml/millrace/internal/envtest"
	"github.com/millrace-ml/millrace/internal/trialjob"
)

// gauge measures what tests say: the width of a trial is its loss.
type gauge struct {
	mu     sync.Mutex
	values map[types.UID]float64
	ended  map[types.UID]bool
}

func (g *gauge) Follow(t trialjob.Target) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ended[t.UID] = t.Ended
}

func (g *gauge) Measured(uid types.UID) (trialjob.Measured, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	v, known := g.values[uid]
	if !known || !g.ended[uid] {
		return trialjob.Measured{}, false
	}
	return trialjob.Measured{Drained: true, Series: map[string]trialjob.Series{"loss": {Min: v, Max: v, Latest: v}}}, true
}

func (g *gauge) Forget(types.NamespacedName) {}

func (g *gauge) Trials() source.Source { return silence }

func (g *gauge) Experiments() source.Source { return silence }

// silence wakes nobody: what is measured here is known before anybody asks.
var silence = source.Func(func(context.Context, workqueue.TypedRateLimitingInterface[reconcile.Request]) error { return nil })

var meter = &gauge{values: map[types.UID]float64{}, ended: map[types.UID]bool{}}

// allowWorkloads binds the managers to what trials may make.
func allowWorkloads(ctx context.Context, admin client.Client) {
	text, err := os.ReadFile("../../config/rbac/workloads.yaml")
	Expect(err).NotTo(HaveOccurred())
	for _, document := range splitYAML(text) {
		role := &rbacv1.ClusterRole{}
		if yaml.Unmarshal(document, role) != nil || role.Name != "millrace-workloads-built-in" {
			continue
		}
		Expect(admin.Create(ctx, role)).To(Succeed())
		Expect(admin.Create(ctx, &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: role.Name},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "managers"}},
		})).To(Succeed())
	}
}

func widths(namespace, job string, most int32) *v1alpha1.Experiment {
	e := &v1alpha1.Experiment{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "widths"}}
	e.Spec = v1alpha1.ExperimentSpec{
		Objectives: []v1alpha1.Objective{{Metric: "loss", Direction: v1alpha1.Minimize}},
		Algorithm:  v1alpha1.Algorithm{Name: "Random"}, ParallelTrials: 3, MaxTrials: most,
		Parameters:    []v1alpha1.Parameter{{Name: "width", Type: v1alpha1.ParameterInt, Min: "1", Max: "1000"}},
		TrialTemplate: v1alpha1.TrialTemplate{Job: &runtime.RawExtension{Raw: []byte(job)}},
	}
	return e
}

const batchJob = `{"apiVersion":"batch/v1","kind":"Job","spec":{"template":{"spec":{"restartPolicy":"Never",` +
	`"containers":[{"name":"main","image":"i","args":["--width=${trialParameters.width}"]}]}}}}`

// itSearches are the specs of experiments.
func itSearches(admin *client.WithWatch, namespace *string, requests **envtest.Counter) {
	read := func(ctx context.Context) *v1alpha1.Experiment {
		e := &v1alpha1.Experiment{}
		Expect((*admin).Get(ctx, client.ObjectKey{Namespace: *namespace, Name: "widths"}, e)).To(Succeed())
		return e
	}
	jobs := func(ctx context.Context) []batchv1.Job {
		var list batchv1.JobList
		Expect((*admin).List(ctx, &list, client.InNamespace(*namespace))).To(Succeed())
		return list.Items
	}

	It("searches with batch Jobs, the first trial at once, with at most six requests for each", func(ctx SpecContext) {
		const trials = 12
		e := widths(*namespace, batchJob, trials)
		(*requests).Reset()
		began := time.Now()
		Expect((*admin).Create(ctx, e)).To(Succeed())
		Eventually(func() int { return len(jobs(ctx)) }).WithTimeout(patience).WithPolling(5 * time.Millisecond).Should(BeNumerically(">", 0))
		GinkgoWriter.Printf("first job of the experiment after %s\n", time.Since(began))
		Eventually(func() int { return len(jobs(ctx)) }).WithTimeout(patience).Should(Equal(3))
		for done := 0; done < trials; {
			for _, j := range jobs(ctx) {
				if len(j.Status.Conditions) == 0 {
					finishJob(ctx, *admin, &j)
					done++
				}
			}
			time.Sleep(100 * time.Millisecond)
		}
		Eventually(func() string { return condition.Get(read(ctx), v1alpha1.ConditionSucceeded).Reason }).WithTimeout(patience).
			Should(Equal(v1alpha1.ReasonMaxTrialsReached))
		Eventually(func() int32 { return *read(ctx).Status.Trials.Succeeded }).WithTimeout(patience).Should(Equal(int32(trials)))
		got := read(ctx)
		least := 1000.0
		for _, j := range jobs(ctx) {
			least = min(least, widthOf(&j))
		}
		Expect(got.Status.Best.Metrics[0].Value).To(Equal(trialjob.Number(least)))
		total := 0
		for what, n := range (*requests).Total() {
			GinkgoWriter.Printf("%4d %s\n", n, what)
			total += n
		}
		Expect(float64(total)/trials).To(BeNumerically("<=", 6), "%v", (*requests).Total())
		Consistently((*requests).Total).WithTimeout(time.Second).Should(HaveLen(len((*requests).Total())))
	})

	It("says what a trial would need that it may not make, or that is not there", func(ctx SpecContext) {
		cron := `{"apiVersion":"batch/v1","kind":"CronJob","spec":{"schedule":"* * * * *","jobTemplate":{"spec":{"template":{"spec":` +
			`{"restartPolicy":"Never","containers":[{"name":"main","image":"i"}]}}}}}}`
		tekton := `{"apiVersion":"tekton.dev/v1","kind":"PipelineRun","spec":{}}`
		for name, c := range map[string]struct{ job, reason string }{
			"cron": {cron, v1alpha1.ReasonJobForbidden}, "tekton": {tekton, v1alpha1.ReasonKindNotServed},
		} {
			t := &v1alpha1.Trial{ObjectMeta: metav1.ObjectMeta{Namespace: *namespace, Name: name}}
			t.Spec.Objectives = []v1alpha1.Objective{{Metric: "loss", Direction: v1alpha1.Minimize}}
			t.Spec.Template.Job = &runtime.RawExtension{Raw: []byte(c.job)}
			t.Spec.Template.Success = &v1alpha1.JobCondition{CEL: "job.status.done"}
			Expect((*admin).Create(ctx, t)).To(Succeed())
			Eventually(func() string {
				Expect((*admin).Get(ctx, client.ObjectKeyFromObject(t), t)).To(Succeed())
				return condition.Get(t, v1alpha1.ConditionStalled).Reason
			}).WithTimeout(patience).Should(Equal(c.reason), name)
			GinkgoWriter.Println(condition.Get(t, v1alpha1.ConditionStalled).Message)
		}
	})
}

// finishJob ends a job as the cluster's own controller does.
func finishJob(ctx context.Context, admin client.Client, j *batchv1.Job) {
	GinkgoHelper()
	meter.mu.Lock()
	meter.values[metav1.GetControllerOf(j).UID] = widthOf(j)
	meter.mu.Unlock()
	now := metav1.Now()
	j.Status.StartTime, j.Status.CompletionTime = &now, &now
	j.Status.Succeeded = 1
	for _, kind := range []batchv1.JobConditionType{batchv1.JobSuccessCriteriaMet, batchv1.JobComplete} {
		j.Status.Conditions = append(j.Status.Conditions, batchv1.JobCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: now})
	}
	Expect(admin.Status().Update(ctx, j)).To(Succeed())
}

func widthOf(j *batchv1.Job) float64 {
	var text string
	_, err := fmt.Sscanf(j.Spec.Template.Spec.Containers[0].Args[0], "--width=%s", &text)
	Expect(err).NotTo(HaveOccurred())
	width, err := strconv.ParseFloat(text, 64)
	Expect(err).NotTo(HaveOccurred())
	return width
}

var yamlDocuments = regexp.MustCompile(`(?m)^---$`)

func splitYAML(text []byte) [][]byte {
	var documents [][]byte
	for _, part := range yamlDocuments.Split(string(text), -1) {
		documents = append(documents, []byte(part))
	}
	return documents
}
