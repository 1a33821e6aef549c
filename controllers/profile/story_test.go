// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/profile"
	"github.com/millrace-ml/millrace/test/golden"
)

// life plays a Profile in a world that does what plans say.
type life struct {
	p    *v1alpha1.Profile
	w    World
	now  time.Time
	text strings.Builder
}

// passes plans and reports until nothing is left to do, and writes down what was done.
func (l *life) passes(why string) {
	fmt.Fprintf(&l.text, "%s, %s\n", l.now.Format("15:04"), why)
	for range 5 {
		plan := Plan(l.p, l.w, l.now)
		did := l.act(plan)
		Report(l.p, l.w, l.now)
		if did == "" {
			break
		}
		fmt.Fprint(&l.text, did)
	}
	ready := find(l.p, v1alpha1.ConditionReady)
	fmt.Fprintf(&l.text, "  Ready=%s %s: %s\n", ready.Status, ready.Reason, ready.Message)
}

// act makes true what a plan says, and tells what that took.
func (l *life) act(plan engine.Plan) string {
	var did strings.Builder
	for _, s := range plan.Delete {
		l.w.Children = slices.DeleteFunc(l.w.Children, func(o engine.Object) bool { return same(o, s.Object) })
		fmt.Fprintf(&did, "  delete %s\n", title(s.Object))
	}
	for _, o := range plan.Apply {
		if ns, ok := o.(*corev1.Namespace); ok {
			if l.w.Namespace == nil || !equality.Semantic.DeepEqual(l.w.Namespace.Labels, ns.Labels) {
				fmt.Fprintf(&did, "  apply  %s\n", title(o))
			}
			l.w.Namespace = ns
			engine.Keep(l.w.Namespace, l.p)
			continue
		}
		i := slices.IndexFunc(l.w.Children, func(have engine.Object) bool { return same(have, o) })
		switch {
		case i < 0:
			l.w.Children = append(l.w.Children, o)
		case equality.Semantic.DeepEqual(l.w.Children[i], o):
			continue
		default:
			l.w.Children[i] = o
		}
		fmt.Fprintf(&did, "  apply  %s%s\n", title(o), people(o))
	}
	return did.String()
}

func people(o engine.Object) string {
	binding, ok := o.(*rbacv1.RoleBinding)
	if !ok {
		return ""
	}
	var all []string
	for _, s := range binding.Subjects {
		all = append(all, s.Name)
	}
	return " for " + strings.Join(all, ", ")
}

func TestTheLifeOfAProfile(t *testing.T) {
	p := owned("team-a", "ann")
	defaults(p)
	p.Spec.ResourceQuota = &corev1.ResourceQuotaSpec{}
	guest := member("guest", v1alpha1.RoleViewer)
	guest.Kind, guest.Expires = v1alpha1.User, new(metav1.NewTime(noon.Add(time.Hour)))
	p.Spec.Members = []v1alpha1.Member{guest}
	l := &life{p: p, now: noon, w: World{Settings: profile.Default()}}
	l.passes("it is new")
	l.passes("nothing happens")
	l.w.Children = slices.DeleteFunc(l.w.Children, func(o engine.Object) bool { return o.GetName() == "millrace-edit" })
	l.passes("somebody deletes a RoleBinding")
	l.w.Mesh = true
	l.passes("Istio is installed")
	l.now = guest.Expires.Time
	l.passes("the guest's time is over")
	p.Spec.Owner.Name, p.Spec.ResourceQuota = "bob", nil
	l.passes("bob is the owner now, without a quota")
	l.w.Namespace.DeletionTimestamp = new(metav1.NewTime(l.now))
	l.passes("somebody deletes the namespace")
	l.w.Namespace, l.w.Children = nil, nil
	l.passes("it is gone")
	golden.Compare(t, "testdata/story/life.want.txt", []byte(l.text.String()))
}
