// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/culling"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/profile"
)

const (
	yes     = metav1.ConditionTrue
	no      = metav1.ConditionFalse
	unknown = metav1.ConditionUnknown
)

// aspect is a part of a Profile that has a condition of its own.
type aspect struct {
	condition string
	// kinds are the objects it consists of.
	kinds []string
	// done says what it means when they are all there, without what is said when there are none.
	done, without string
}

// aspects is the table of the parts of a Profile, in the order of their conditions.
var aspects = []aspect{
	{
		v1alpha1.ConditionAccessGranted,
		[]string{"ServiceAccount", "RoleBinding"},
		"The owner and the members have their roles.", "",
	},
	{
		v1alpha1.ConditionLimited,
		[]string{"ResourceQuota", "LimitRange"},
		"The quota and the limits of the spec apply.", "spec.resourceQuota and spec.limitRange are not set: nothing limits the namespace.",
	},
	{
		v1alpha1.ConditionIsolated,
		[]string{"NetworkPolicy"},
		"Network policies keep pods of other namespaces away, where the cluster enforces them.", "spec.network.isolation is Disabled: pods of all namespaces come in.",
	},
	{
		v1alpha1.ConditionMeshAuthorized,
		[]string{profile.AuthorizationPolicy.Kind},
		"The mesh lets in by role.", "",
	},
	{
		v1alpha1.ConditionSecretsReady,
		[]string{"Secret"},
		"The Secrets of the spec were made.", "spec.secrets is empty.",
	},
}

// Report writes what is known of a Profile into its status. It is pure.
func Report(p *v1alpha1.Profile, w World, now time.Time) {
	p.Status.Members = new(int32(len(profile.Grants(p, now)) - 1))
	p.Status.Expired = profile.Expired(p, now)
	h := holds(p, w)
	if !h.ours {
		p.Status.Namespace = ""
		withoutNamespace(p, h)
		return
	}
	p.Status.Namespace = p.Name
	if !engine.Owned(w.Namespace, p.UID) {
		p.Status.Namespace = "" // it consents, and is being taken over
	}
	wanted := Plan(p, w, now)
	set(p, condition(v1alpha1.ConditionNamespaceReady, yes, v1alpha1.ReasonApplied, fmt.Sprintf("Namespace %s is the Profile's.", p.Name)))
	for _, a := range aspects {
		set(p, a.judge(wanted, w))
	}
	conclude(p)
}

// withoutNamespace says of everything that it waits for the namespace, and whether only somebody can help.
func withoutNamespace(p *v1alpha1.Profile, h holding) {
	set(p, condition(v1alpha1.ConditionNamespaceReady, no, h.reason, h.message))
	for _, a := range aspects {
		set(p, condition(a.condition, unknown, v1alpha1.ReasonWaitingForNamespace, "It is made when the namespace is the Profile's."))
	}
	set(p, condition(v1alpha1.ConditionReady, no, h.reason, h.message))
	settle(p, h.reason, h.message, !h.free)
}

// judge is the condition of a part: whether all of its objects that are wanted are there. Secrets are not watched; that none was
// refused is all that is known of them.
func (a aspect) judge(wanted engine.Plan, w World) metav1.Condition {
	objects := slices.Clone(wanted.Apply)
	for _, s := range wanted.Create {
		objects = append(objects, s.Object)
	}
	mine := func(o engine.Object) bool { return slices.Contains(a.kinds, kindOf(o)) }
	objects = slices.DeleteFunc(objects, func(o engine.Object) bool { return !mine(o) })
	switch {
	case a.condition == v1alpha1.ConditionMeshAuthorized && !w.Mesh:
		return condition(a.condition, no, v1alpha1.ReasonMeshNotServed,
			"The cluster serves no AuthorizationPolicy of security.istio.io/v1: what comes through a gateway is not told apart by role; roles of the API server and network policies apply.")
	case len(objects) == 0:
		return condition(a.condition, no, v1alpha1.ReasonNotWanted, a.without)
	}
	for _, o := range objects {
		there := kindOf(o) == "Secret" || slices.ContainsFunc(w.Children, func(have engine.Object) bool { return same(have, o) })
		if !there {
			return condition(a.condition, unknown, v1alpha1.ReasonApplying, fmt.Sprintf("%s %s is being made.", kindOf(o), o.GetName()))
		}
	}
	return condition(a.condition, yes, v1alpha1.ReasonApplied, a.done)
}

// conclude sums the parts up.
func conclude(p *v1alpha1.Profile) {
	for _, a := range aspects {
		c := find(p, a.condition)
		if c.Status == unknown || c.Status == no && c.Reason != v1alpha1.ReasonNotWanted && c.Reason != v1alpha1.ReasonMeshNotServed {
			set(p, condition(v1alpha1.ConditionReady, no, c.Reason, c.Message))
			settle(p, c.Reason, c.Message, false)
			return
		}
	}
	if n := p.Spec.Notebooks; n != nil && n.Culling != nil {
		if at, err := culling.Unreadable(n.Culling.Schedules); err != nil {
			message := fmt.Sprintf("spec.notebooks.culling.%s: %v. Notebooks do without it.", at, err)
			set(p, condition(v1alpha1.ConditionReady, no, v1alpha1.ReasonInvalidSchedule, message))
			settle(p, v1alpha1.ReasonInvalidSchedule, message, true)
			return
		}
	}
	message := "Namespace and access are as the spec says."
	set(p, condition(v1alpha1.ConditionReady, yes, v1alpha1.ReasonApplied, message))
	set(p, condition(v1alpha1.ConditionReconciling, no, v1alpha1.ReasonApplied, message), condition(v1alpha1.ConditionStalled, no, v1alpha1.ReasonApplied, message))
}

// settle says whether it goes on by itself.
func settle(p *v1alpha1.Profile, reason, message string, stuck bool) {
	going, stalled := yes, no
	if stuck {
		going, stalled = no, yes
	}
	set(p, condition(v1alpha1.ConditionReconciling, going, reason, message), condition(v1alpha1.ConditionStalled, stalled, reason, message))
}

// causes are the reasons of refusals.
var causes = map[engine.Cause]string{engine.Taken: v1alpha1.ReasonNameTaken, engine.Quota: v1alpha1.ReasonQuotaExceeded}

// Refuse writes into the status what the API server would not take. It is pure.
func Refuse(p *v1alpha1.Profile, refused []engine.Refusal) {
	slices.SortFunc(refused, func(a, b engine.Refusal) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	var first *metav1.Condition
	for _, r := range slices.Backward(refused) {
		c := refusal(r)
		set(p, c)
		first = &c
	}
	set(p, condition(v1alpha1.ConditionReady, no, first.Reason, first.Message))
	stuck := slices.ContainsFunc(refused, func(r engine.Refusal) bool { return r.Cause == engine.Taken || r.Cause == engine.Invalid })
	settle(p, first.Reason, first.Message, stuck)
}

// refusal is the condition of the part that an object belongs to which was refused.
func refusal(r engine.Refusal) metav1.Condition {
	kind := v1alpha1.ConditionNamespaceReady
	if i := slices.IndexFunc(aspects, func(a aspect) bool { return slices.Contains(a.kinds, r.Kind) }); i >= 0 {
		kind = aspects[i].condition
	}
	reason, known := causes[r.Cause]
	if !known {
		reason = v1alpha1.ReasonRefused
	}
	if r.Kind == "Secret" && r.Cause == engine.Missing {
		return condition(kind, no, v1alpha1.ReasonTemplateNotFound, "spec.secrets: Secret "+r.Name+" has no template: "+strings.TrimSuffix(r.Message, ".")+".")
	}
	message := fmt.Sprintf("%s %s could not be written: %s", r.Kind, r.Name, strings.TrimSuffix(r.Message, "."))
	if r.Cause == engine.Taken {
		message += ". Rename or remove what is in the way"
	}
	return condition(kind, no, reason, message+".")
}

func condition(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message}
}

func find(p *v1alpha1.Profile, kind string) metav1.Condition {
	for _, c := range p.Status.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return metav1.Condition{Type: kind, Status: unknown}
}

// set puts conditions in place of those of the same type; the schema has put all of them there.
func set(p *v1alpha1.Profile, conditions ...metav1.Condition) {
	for _, c := range conditions {
		i := slices.IndexFunc(p.Status.Conditions, func(old metav1.Condition) bool { return old.Type == c.Type })
		if i < 0 {
			p.Status.Conditions = append(p.Status.Conditions, c)
			continue
		}
		c.LastTransitionTime = p.Status.Conditions[i].LastTransitionTime
		p.Status.Conditions[i] = c
	}
}
