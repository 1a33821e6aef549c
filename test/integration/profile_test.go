// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/envtest"
	"github.com/millrace-ml/millrace/internal/profile"
)

// itSharesTheCluster are the specs of Profiles and PodDefaults, with the manager of the specs around them.
func itSharesTheCluster(admin *client.WithWatch, namespace *string) {
	It("gives a team its namespace, mends it, and takes part in a mesh that comes later", func(ctx SpecContext) {
		p := &v1alpha1.Profile{ObjectMeta: metav1.ObjectMeta{Name: "team-i"}, Spec: v1alpha1.ProfileSpec{
			Owner: v1alpha1.Subject{Name: "ann"},
			Members: []v1alpha1.Member{
				{Subject: v1alpha1.Subject{Name: "bob"}, Role: v1alpha1.RoleEditor}, {Subject: v1alpha1.Subject{Name: "zoe"}, Role: v1alpha1.RoleViewer},
			},
			ResourceQuota: &corev1.ResourceQuotaSpec{},
		}}
		Expect((*admin).Create(ctx, p)).To(Succeed())
		condition := func(kind string) func() string {
			return func() string {
				var now v1alpha1.Profile
				if err := (*admin).Get(context.Background(), client.ObjectKeyFromObject(p), &now); err != nil {
					return err.Error()
				}
				c := meta.FindStatusCondition(now.Status.Conditions, kind)
				return string(c.Status) + " " + c.Reason
			}
		}
		Eventually(condition(v1alpha1.ConditionReady)).WithTimeout(patience).Should(Equal("True Applied"))

		By("mending what somebody takes away")
		binding := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: "team-i", Name: "millrace-edit"}}
		Expect((*admin).Delete(ctx, binding)).To(Succeed())
		Eventually(func() error { return (*admin).Get(ctx, client.ObjectKeyFromObject(binding), binding) }).WithTimeout(patience).Should(Succeed())
		Expect(binding.Subjects[0].Name).To(Equal("bob"))

		By("telling people apart once the mesh is there")
		Expect(condition(v1alpha1.ConditionMeshAuthorized)()).To(Equal("False MeshNotServed"))
		installMesh(ctx, *admin)
		Eventually(condition(v1alpha1.ConditionMeshAuthorized)).WithTimeout(2 * patience).Should(Equal("True Applied"))
		viewers := &unstructured.Unstructured{}
		viewers.SetGroupVersionKind(profile.AuthorizationPolicy)
		Expect((*admin).Get(ctx, client.ObjectKey{Namespace: "team-i", Name: profile.ViewersPolicy}, viewers)).To(Succeed())
	})

	It("gives pods the PodDefaults that are there when they are made, and no others", func(ctx SpecContext) {
		d := &v1alpha1.PodDefault{ObjectMeta: metav1.ObjectMeta{Namespace: *namespace, Name: "level"}, Spec: v1alpha1.PodDefaultSpec{
			Selector: &metav1.LabelSelector{}, Env: []corev1.EnvVar{{Name: "LEVEL", Value: "debug"}},
		}}
		Expect((*admin).Create(ctx, d)).To(Succeed())
		contrary := digits(*namespace)
		contrary.Name = "contrary"
		contrary.Spec.Roles[0].Template.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "LEVEL", Value: "info"}}
		Expect((*admin).Create(ctx, contrary)).To(Succeed())
		matched := func() []v1alpha1.MatchedWorkload {
			Expect((*admin).Get(ctx, client.ObjectKeyFromObject(d), d)).To(Succeed())
			return d.Status.Workloads
		}
		Eventually(matched).WithTimeout(patience).Should(HaveLen(1))
		Expect(d.Status.Workloads[0].Conflict).To(ContainSubstring("env[LEVEL]"))
		Expect(pods(ctx, *admin, *namespace)).To(BeEmpty())

		By("making the pods when the conflict is gone, and leaving them alone afterwards")
		d.Spec.ConflictPolicy = v1alpha1.ConflictKeepExisting
		Expect((*admin).Update(ctx, d)).To(Succeed())
		Eventually(func() int { return len(pods(ctx, *admin, *namespace)) }).WithTimeout(patience).Should(Equal(3))
		before := pods(ctx, *admin, *namespace)
		Expect(before[0].Annotations).To(HaveKeyWithValue("millrace.dev/poddefaults", "level"))
		Expect((*admin).Delete(ctx, d)).To(Succeed())
		play(ctx, *admin, *namespace, corev1.PodRunning)
		Consistently(func() bool {
			after := pods(ctx, *admin, *namespace)
			return len(after) == 3 && after[0].UID == before[0].UID
		}).WithTimeout(patience / 10).Should(BeTrue())
	})
}

// installMesh installs the policies of Istio, without what reads them.
func installMesh(ctx context.Context, admin client.Client) {
	GinkgoHelper()
	kind := profile.AuthorizationPolicy
	open := &apiextensionsv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: new(true)}
	definition := &apiextensionsv1.CustomResourceDefinition{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apiextensions.k8s.io/v1", Kind: "CustomResourceDefinition"},
		ObjectMeta: metav1.ObjectMeta{Name: "authorizationpolicies." + kind.Group},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: kind.Group, Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: "authorizationpolicies", Singular: "authorizationpolicy", Kind: kind.Kind, ListKind: kind.Kind + "List"},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: kind.Version, Served: true, Storage: true, Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: open},
			}},
		},
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(definition)
	Expect(err).NotTo(HaveOccurred())
	delete(content, "status")
	Expect(admin.Create(ctx, &unstructured.Unstructured{Object: content})).To(Succeed())
}

// watchSome has a manager of some namespaces have a Profile of one of them, and one of another.
func watchSome(ctx context.Context, admin client.Client, requests *envtest.Counter) {
	GinkgoHelper()
	ready := func(name string, member ...v1alpha1.Member) func() string {
		p := &v1alpha1.Profile{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.ProfileSpec{Owner: v1alpha1.Subject{Name: "ann"}, Members: member}}
		Expect(admin.Create(ctx, p)).To(Succeed())
		return func() string {
			Expect(admin.Get(ctx, client.ObjectKeyFromObject(p), p)).To(Succeed())
			c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionReady)
			return string(c.Status) + " " + c.Reason
		}
	}
	Eventually(ready("team-w")).WithTimeout(2 * patience).Should(Equal("True " + v1alpha1.ReasonApplied))
	nb := &v1alpha1.Notebook{ObjectMeta: metav1.ObjectMeta{Namespace: "team-w", Name: "lab"}, Spec: v1alpha1.NotebookSpec{Image: "jupyter:1", Stopped: new(true)}}
	Expect(admin.Create(ctx, nb)).To(Succeed())
	Eventually(func() string {
		Expect(admin.Get(ctx, client.ObjectKeyFromObject(nb), nb)).To(Succeed())
		return nb.Status.Phase
	}).WithTimeout(patience).Should(Equal(v1alpha1.PhaseStopped))
	out := ready("team-u")
	Eventually(out).WithTimeout(patience).Should(Equal("False " + v1alpha1.ReasonNamespaceNotWatched))
	Expect(apierrors.IsNotFound(admin.Get(ctx, client.ObjectKey{Name: "team-u"}, &corev1.Namespace{}))).To(BeTrue())
	quiet := func() int {
		defer requests.Reset()
		return len(requests.Requests())
	}
	Eventually(quiet).WithTimeout(3 * patience).WithPolling(8 * time.Second).Should(BeZero())
	Consistently(requests.Total).WithTimeout(8 * time.Second).Should(BeEmpty())
}
