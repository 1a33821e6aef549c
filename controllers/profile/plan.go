// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/names"
	"github.com/millrace-ml/millrace/internal/profile"
)

// Names of what a Profile has in its namespace, beside its service accounts, role bindings and policies of the mesh.
const (
	quotaName     = "millrace-quota"
	limitsName    = "millrace-limits"
	isolationName = "millrace-isolation"
)

// Reasons of the events that tell of what is removed.
const eventUnwanted = "NoLongerWanted"

// Plan says which namespace a Profile should have and what should be in it. It is pure. Nothing is planned in a namespace that is not
// seen to be the Profile's: it may be somebody else's.
func Plan(p *v1alpha1.Profile, w World, now time.Time) engine.Plan {
	h := holds(p, w)
	if !h.ours && (!h.free || w.Namespace != nil) {
		return engine.Plan{}
	}
	plan := engine.Plan{Apply: []engine.Object{namespace(p, w)}, Again: profile.UntilExpiry(p, now)}
	if !h.ours {
		return plan
	}
	wanted := children(p, w, now)
	for _, o := range wanted {
		plan.Apply = append(plan.Apply, keep(p, o))
	}
	for _, s := range p.Spec.Secrets {
		plan.Create = append(plan.Create, engine.Step{Object: keep(p, secret(p, s))})
	}
	for _, o := range w.Children {
		unwanted := !slices.ContainsFunc(wanted, func(want engine.Object) bool { return same(want, o) })
		if unwanted && engine.Owned(o, p.UID) && o.GetDeletionTimestamp() == nil {
			plan.Delete = append(plan.Delete, engine.Step{Object: o, Reason: eventUnwanted, Why: "the spec does not ask for it any more"})
		}
	}
	return plan
}

// keep marks what is in the namespace: it goes with the namespace, and stays when that stays.
func keep(p *v1alpha1.Profile, o engine.Object) engine.Object {
	o.SetNamespace(p.Name)
	o.SetLabels(ownLabels(p))
	engine.Keep(o, p)
	return o
}

// ownLabels are of everything a Profile has.
func ownLabels(p *v1alpha1.Profile) map[string]string {
	return map[string]string{names.ManagedBy: names.Manager, names.AppName: "profile", names.Profile: p.Name}
}

// children are what is kept equal to the spec in the namespace.
func children(p *v1alpha1.Profile, w World, now time.Time) []engine.Object {
	grants := profile.Grants(p, now)
	all := slices.Concat(limits(p), isolation(p, w.Settings), access(p, grants))
	if !w.Mesh {
		return all
	}
	all = append(all, w.Settings.MembersMesh(p.Name, grants))
	if viewers := w.Settings.ViewersMesh(p.Name, grants); viewers != nil {
		all = append(all, viewers)
	}
	return all
}

// namespace is the namespace of a Profile. It is deleted with it only where the Profile says so.
func namespace(p *v1alpha1.Profile, w World) *corev1.Namespace {
	labels := maps.Clone(w.Settings.NamespaceLabels)
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, mesh(p, w))
	maps.Copy(labels, p.Spec.Namespace.Labels)
	maps.Copy(labels, ownLabels(p))
	labels["pod-security.kubernetes.io/enforce"] = string(p.Spec.Namespace.PodSecurity)
	annotations := maps.Clone(p.Spec.Namespace.Annotations)
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations["owner"] = p.Spec.Owner.Name // existing dashboards read it
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: p.Name, Labels: labels, Annotations: annotations}}
	if p.Spec.DeletionPolicy == v1alpha1.OrphanNamespace {
		engine.Keep(ns, p)
	}
	return ns
}

// meshLabels put the pods of a namespace into a mesh.
var meshLabels = map[v1alpha1.ProfileMesh]map[string]string{
	v1alpha1.MeshSidecar: {"istio-injection": "enabled"},
	v1alpha1.MeshAmbient: {"istio.io/dataplane-mode": "ambient"},
	v1alpha1.MeshNone:    {"istio-injection": "disabled"},
}

func mesh(p *v1alpha1.Profile, w World) map[string]string {
	if p.Spec.Namespace.Mesh == v1alpha1.MeshAuto && w.Mesh {
		return meshLabels[v1alpha1.MeshSidecar]
	}
	return meshLabels[p.Spec.Namespace.Mesh]
}

// access are the service accounts, and one RoleBinding for each role with everybody who has it.
func access(p *v1alpha1.Profile, grants []profile.Grant) []engine.Object {
	var all []engine.Object
	for _, role := range profile.Roles {
		binding := &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: role.ClusterRole},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.ClusterRole},
		}
		for _, g := range grants {
			if g.Role == role.Name {
				binding.Subjects = append(binding.Subjects, profile.RBAC(g.Subject))
			}
		}
		if role.Account != "" {
			binding.Subjects = append(binding.Subjects, rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: p.Name, Name: role.Account})
			all = append(all, account(p, role.Account))
		}
		all = append(all, binding)
	}
	return all
}

func account(p *v1alpha1.Profile, name string) *corev1.ServiceAccount {
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if name != profile.EditorAccount {
		return sa
	}
	for _, id := range p.Spec.Identities {
		metav1.SetMetaDataAnnotation(&sa.ObjectMeta, profile.CloudAnnotation[id.Cloud], id.Identity)
	}
	return sa
}

func limits(p *v1alpha1.Profile) []engine.Object {
	var all []engine.Object
	if q := p.Spec.ResourceQuota; q != nil {
		all = append(all, &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: quotaName}, Spec: *q.DeepCopy()})
	}
	if l := p.Spec.LimitRange; l != nil {
		all = append(all, &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Name: limitsName}, Spec: *l.DeepCopy()})
	}
	return all
}

// isolation lets pods in from the namespace itself and from namespaces that are named by the Profile, the configuration or a label, and
// from nowhere else. What pods reach is not narrowed: names are looked up, and metrics pushed, as everywhere.
func isolation(p *v1alpha1.Profile, s profile.Settings) []engine.Object {
	if p.Spec.Network.Isolation == v1alpha1.IsolationDisabled {
		return nil
	}
	in := func(s metav1.LabelSelector) networkingv1.NetworkPolicyPeer {
		return networkingv1.NetworkPolicyPeer{NamespaceSelector: &s}
	}
	peers := []networkingv1.NetworkPolicyPeer{
		{PodSelector: &metav1.LabelSelector{}},
		in(metav1.LabelSelector{MatchLabels: map[string]string{names.Reaches: "Allow"}}),
	}
	if named := slices.Sorted(slices.Values(slices.Concat(s.AllowFrom, p.Spec.Network.AllowFrom))); len(named) > 0 {
		peers = append(peers, in(metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
			{Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpIn, Values: slices.Compact(named)},
		}}))
	}
	return []engine.Object{&networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: isolationName},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{}, PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
			Ingress: []networkingv1.NetworkPolicyIngressRule{{From: peers}},
		},
	}}
}

// secret is a Secret without what it holds: that is read from its template when it is made.
func secret(p *v1alpha1.Profile, s v1alpha1.ProfileSecret) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		Name: s.Name, Annotations: map[string]string{templateAnnotation: s.Template, ownerAnnotation: p.Spec.Owner.Name},
	}}
}

// Annotations of Secrets by which they are filled in.
const (
	templateAnnotation = v1alpha1.Group + "/template"
	ownerAnnotation    = v1alpha1.Group + "/owner"
)

// foresee is the world when all that a plan applies is there.
func foresee(w World, plan engine.Plan) World {
	for _, o := range plan.Apply {
		if ns, ok := o.(*corev1.Namespace); ok {
			w.Namespace = ns.DeepCopy()
			engine.Keep(w.Namespace, &metav1.ObjectMeta{}) // on paper its owner has no UID
		}
	}
	return w
}
