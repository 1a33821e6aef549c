// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/names"
	"github.com/millrace-ml/millrace/internal/profile"
)

// World is what a Profile is decided from.
type World struct {
	// Namespace is the one of its name; nil where there is none.
	Namespace *corev1.Namespace
	// Children are the objects in it by the names that a Profile gives, whoever made them.
	Children []engine.Object
	// Mesh is true where the cluster serves authorization policies of Istio.
	Mesh bool
	// Settings are the manager's.
	Settings profile.Settings
}

// holding is what a namespace is to a Profile.
type holding struct {
	// ours is true when things can be made in it, free when the namespace itself can, or soon can.
	ours, free bool
	// reason and message say why not.
	reason, message string
}

// holds says what the namespace of the Profile's name is to it. One that was there before is taken over only when it says so itself.
func holds(p *v1alpha1.Profile, w World) holding {
	ns := w.Namespace
	switch {
	case !w.Settings.Watches(p.Name):
		return holding{reason: v1alpha1.ReasonNamespaceNotWatched, message: fmt.Sprintf(
			"Namespace %s is none that the manager watches: add it to namespaces in the manager's configuration and restart it, or delete the Profile.", p.Name,
		)}
	case ns == nil:
		return holding{free: true, reason: v1alpha1.ReasonApplying, message: fmt.Sprintf("Namespace %s is being made.", p.Name)}
	case ns.DeletionTimestamp != nil:
		return holding{
			free: true, reason: v1alpha1.ReasonNamespaceTerminating,
			message: fmt.Sprintf("Namespace %s is on its way out: it is made anew when it is gone.", p.Name),
		}
	case engine.Owned(ns, p.UID) || adoptable(p, ns):
		return holding{ours: true}
	}
	if ref := metav1.GetControllerOfNoCopy(ns); ref != nil {
		return holding{reason: v1alpha1.ReasonNameTaken, message: fmt.Sprintf(
			"Namespace %s belongs to %s %s of %s: delete that, leaving the namespace, or rename the Profile.", p.Name, ref.Kind, ref.Name, ref.APIVersion,
		)}
	}
	return holding{reason: v1alpha1.ReasonNotAdoptable, message: fmt.Sprintf(
		"Namespace %s was there before. To hand it over, set its annotation %s to the name of spec.owner, %q; otherwise rename the Profile.",
		p.Name, names.Adopt, p.Spec.Owner.Name,
	)}
}

// adoptable is true of a namespace that nobody controls and that consents.
func adoptable(p *v1alpha1.Profile, ns metav1.Object) bool {
	return metav1.GetControllerOfNoCopy(ns) == nil && ns.GetAnnotations()[names.Adopt] == p.Spec.Owner.Name
}

// adopts is true of what a Profile may take over: a namespace that consents, and in it what was made for an earlier Profile or by
// others under the names that every Profile has.
func adopts(p *v1alpha1.Profile, live engine.Object) bool {
	if live.GetNamespace() == "" {
		return adoptable(p, live)
	}
	known := []string{profile.EditorAccount, profile.ViewerAccount}
	_, account := live.(*corev1.ServiceAccount)
	return account && slices.Contains(known, live.GetName()) || live.GetLabels()[names.ManagedBy] == names.Manager
}

// blanks are the objects that a Profile may have in its namespace, by kind and name.
func blanks(namespace string, mesh bool) []engine.Object {
	meta := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: namespace, Name: name} }
	all := []engine.Object{
		&corev1.ResourceQuota{ObjectMeta: meta(quotaName)}, &corev1.LimitRange{ObjectMeta: meta(limitsName)},
		&networkingv1.NetworkPolicy{ObjectMeta: meta(isolationName)},
	}
	for _, role := range profile.Roles {
		all = append(all, &rbacv1.RoleBinding{ObjectMeta: meta(role.ClusterRole)})
		if role.Account != "" {
			all = append(all, &corev1.ServiceAccount{ObjectMeta: meta(role.Account)})
		}
	}
	if !mesh {
		return all
	}
	for _, name := range []string{profile.MembersPolicy, profile.ViewersPolicy} {
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(profile.AuthorizationPolicy)
		u.SetNamespace(namespace)
		u.SetName(name)
		all = append(all, u)
	}
	return all
}

// kindOf tells the objects of a Profile apart, by the names their kinds have.
func kindOf(o engine.Object) string {
	switch o.(type) {
	case *corev1.Namespace:
		return "Namespace"
	case *corev1.ServiceAccount:
		return "ServiceAccount"
	case *rbacv1.RoleBinding:
		return "RoleBinding"
	case *corev1.ResourceQuota:
		return "ResourceQuota"
	case *corev1.LimitRange:
		return "LimitRange"
	case *networkingv1.NetworkPolicy:
		return "NetworkPolicy"
	case *corev1.Secret:
		return "Secret"
	}
	return o.GetObjectKind().GroupVersionKind().Kind
}

// same is true of two objects of one kind and name.
func same(a, b engine.Object) bool { return a.GetName() == b.GetName() && kindOf(a) == kindOf(b) }
