// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
)

// itRunsNotebooks are the specs of notebooks, with the manager of the specs around them. The StatefulSet's controller is played.
func itRunsNotebooks(admin *client.WithWatch, namespace *string) {
	It("runs a notebook, stops it and starts it again, within what its role allows", func(ctx SpecContext) {
		nb := &v1alpha1.Notebook{ObjectMeta: metav1.ObjectMeta{Name: "lab", Namespace: *namespace}, Spec: v1alpha1.NotebookSpec{Image: "jupyter:1"}}
		Expect((*admin).Create(ctx, nb)).To(Succeed())
		key := client.ObjectKeyFromObject(nb)
		phase := func() string {
			if err := (*admin).Get(ctx, key, nb); err != nil {
				return err.Error()
			}
			return nb.Status.Phase
		}
		set := &appsv1.StatefulSet{}
		Eventually(func() error { return (*admin).Get(ctx, key, set) }).WithTimeout(patience).Should(Succeed())
		Eventually(func() error { return (*admin).Get(ctx, key, &corev1.Service{}) }).WithTimeout(patience).Should(Succeed())

		pod := &corev1.Pod{ObjectMeta: *set.Spec.Template.ObjectMeta.DeepCopy(), Spec: set.Spec.Template.Spec}
		pod.Name, pod.Namespace = "lab-0", *namespace
		pod.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(set, appsv1.SchemeGroupVersion.WithKind("StatefulSet"))}
		Expect((*admin).Create(ctx, pod)).To(Succeed())
		Expect((*admin).SubResource("binding").Create(ctx, pod, &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: "node-1"}})).To(Succeed())
		Expect((*admin).Get(ctx, client.ObjectKeyFromObject(pod), pod)).To(Succeed())
		pod.Status.Phase = corev1.PodRunning
		pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue})
		Expect((*admin).Status().Update(ctx, pod)).To(Succeed())
		Eventually(phase).WithTimeout(patience).Should(Equal(v1alpha1.PhaseRunning))

		metav1.SetMetaDataAnnotation(&nb.ObjectMeta, names.Stopped, "now")
		Expect((*admin).Update(ctx, nb)).To(Succeed())
		Eventually(phase).WithTimeout(patience).Should(Equal(v1alpha1.PhaseStopping))
		Expect((*admin).Delete(ctx, pod, client.GracePeriodSeconds(0))).To(Succeed())
		Eventually(phase).WithTimeout(patience).Should(Equal(v1alpha1.PhaseStopped))
		Expect((*admin).Get(ctx, key, set)).To(Succeed())
		Expect(*set.Spec.Replicas).To(BeZero())

		nb.Annotations = nil
		Expect((*admin).Update(ctx, nb)).To(Succeed())
		Eventually(func() int32 {
			Expect((*admin).Get(ctx, key, set)).To(Succeed())
			return *set.Spec.Replicas
		}).WithTimeout(patience).Should(BeEquivalentTo(1))
	})
	It("stops notebooks by the word of their Profile, from when it is said until it is taken back", func(ctx SpecContext) {
		p := &v1alpha1.Profile{ObjectMeta: metav1.ObjectMeta{Name: "team-c"}, Spec: v1alpha1.ProfileSpec{Owner: v1alpha1.Subject{Name: "ann"}}}
		Expect((*admin).Create(ctx, p)).To(Succeed())
		Eventually(func() error { return (*admin).Get(ctx, client.ObjectKey{Name: p.Name}, &corev1.Namespace{}) }).WithTimeout(patience).Should(Succeed())
		nb := &v1alpha1.Notebook{ObjectMeta: metav1.ObjectMeta{Name: "lab", Namespace: p.Name}, Spec: v1alpha1.NotebookSpec{
			Image: "jupyter:1", Stopped: new(true), Culling: &v1alpha1.Culling{MaxHours: new(int32(72))},
		}}
		Expect((*admin).Create(ctx, nb)).To(Succeed())
		terms := func() []string {
			Expect((*admin).Get(ctx, client.ObjectKeyFromObject(nb), nb)).To(Succeed())
			var all []string
			for _, t := range nb.Status.Culling {
				all = append(all, t.Field+" "+t.Value+" "+string(t.From))
			}
			return all
		}
		say := func(c *v1alpha1.ProfileCulling) {
			before := p.DeepCopy()
			p.Spec.Notebooks = &v1alpha1.ProfileNotebooks{Culling: c}
			if c == nil {
				p.Spec.Notebooks = nil
			}
			Expect((*admin).Patch(ctx, p, client.MergeFrom(before))).To(Succeed())
		}
		Eventually(terms).WithTimeout(patience).Should(HaveExactElements("idleMinutes 1440 Manager", "maxHours 72 Notebook"))
		say(&v1alpha1.ProfileCulling{
			Culling: v1alpha1.Culling{IdleMinutes: new(int32(60)), MaxHours: new(int32(24))}, Override: v1alpha1.OverrideStricter,
		})
		Eventually(terms).WithTimeout(patience).Should(HaveExactElements("idleMinutes 60 Profile", "maxHours 24 Profile"))
		say(nil)
		Eventually(terms).WithTimeout(patience).Should(HaveExactElements("idleMinutes 1440 Manager", "maxHours 72 Notebook"))
	})
}
