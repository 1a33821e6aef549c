// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package notebook

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
)

// dice turns fuzzing bytes into choices.
type dice []byte

func (d *dice) roll(n int) int {
	if len(*d) == 0 {
		return 0
	}
	v := int((*d)[0]) % n
	*d = (*d)[1:]
	return v
}

func pick[T any](d *dice, from ...T) T { return from[d.roll(len(from))] }

func (d *dice) notebook() *v1alpha1.Notebook {
	nb := &v1alpha1.Notebook{ObjectMeta: metav1.ObjectMeta{
		Name: pick(d, "", strings.Repeat("n", 52)), Namespace: pick(d, "", strings.Repeat("t", 63)), Labels: pick(d, nil, map[string]string{"s3": "true"}),
	}}
	nb.Spec = v1alpha1.NotebookSpec{
		Image: "jupyter:1", CPU: pick(d, nil, new(resource.MustParse("1"))), Server: pick(d, v1alpha1.Jupyter, v1alpha1.Web),
		Workspace:   pick(d, nil, &v1alpha1.Workspace{Size: new(resource.MustParse("1Gi"))}, &v1alpha1.Workspace{ClaimName: "files"}),
		Accelerator: pick(d, nil, nil, &v1alpha1.AcceleratorRequest{Name: "a100", Count: 1}),
		Culling: pick(d, nil, &v1alpha1.Culling{IdleMinutes: new(int32(5))}, &v1alpha1.Culling{MaxHours: new(int32(1))}, &v1alpha1.Culling{
			Schedules: []v1alpha1.Schedule{{Stop: "0 13 * * *", Start: "0 14 * * *", TimeZone: "UTC"}},
		}),
	}
	return nb
}

// happen lets something happen that the dice choose.
func (s *story) happen(d *dice) {
	step := pick(d, "wait 10m", "wait 3h", "image jupyter:2", "image jupyter:3", "cpu 2", "cpu 4", "stop", "start", "refuse words", "refuse", "upgrade", "run", "crash x", "use", "probe", "restart", "evict", "accelerator", "default", "team")
	switch step {
	case "run", "crash x", "probe", "restart", "evict":
		if s.world.Pod == nil {
			return
		}
	case "accelerator":
		s.world.Accelerators = pick(d, nil, []v1alpha1.Accelerator{{ObjectMeta: metav1.ObjectMeta{Name: "a100"}, Spec: v1alpha1.AcceleratorSpec{Resource: "nvidia.com/gpu"}}})
		return
	case "team":
		s.world.Team = pick(d, nil, &v1alpha1.ProfileCulling{Culling: v1alpha1.Culling{IdleMinutes: new(int32(2)), MaxHours: new(int32(2))}, Override: v1alpha1.OverrideStricter})
		return
	case "default":
		s.world.PodDefaults = pick(d, nil, []v1alpha1.PodDefault{{
			ObjectMeta: metav1.ObjectMeta{Name: "s3"}, Spec: v1alpha1.PodDefaultSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"s3": "true"}}},
		}})
		return
	}
	s.play(step)
}

// check decides twice, and checks what was decided.
func (s *story) check() {
	s.t.Helper()
	plan := Plan(s.nb, s.world, s.now)
	if diff := gocmp.Diff(plan, Plan(s.nb, s.world, s.now)); diff != "" {
		s.t.Fatalf("two plans of one world differ:\n%s", diff)
	}
	if plan.Again < 0 {
		s.t.Fatalf("wake me in %s", plan.Again)
	}
	taken := map[string]bool{}
	for _, o := range plan.Apply {
		key := fmt.Sprintf("%T %s", o, o.GetName())
		if problems := validation.IsDNS1123Subdomain(o.GetName()); len(problems) > 0 || taken[key] {
			s.t.Fatalf("%s: %v, taken: %v", key, problems, taken[key])
		}
		taken[key] = true
		if problems := metav1validation.ValidateLabels(o.GetLabels(), field.NewPath("labels")); len(problems) > 0 {
			s.t.Fatalf("%s: %v", key, problems)
		}
	}
	for _, step := range plan.Delete {
		p := s.world.Pod
		if p == nil || step.Object.GetUID() != p.UID {
			s.t.Fatalf("%s is deleted, which is not ours", step.Object.GetName())
		}
		asked := s.nb.Annotations[names.Restart] == string(p.UID)
		if look(s.nb, s.world, s.now).main(p).State.Running != nil && !asked {
			s.t.Fatalf("a server that runs is taken away: %s", step.Why)
		}
	}
}

// consistent checks what is said of a notebook that has settled.
func (s *story) consistent() {
	s.t.Helper()
	stopped := slices.ContainsFunc(s.nb.Status.Conditions, func(c metav1.Condition) bool { return c.Type == v1alpha1.ConditionStopped && c.Status == yes })
	if _, annotated := s.nb.Annotations[names.Stopped]; stopped != annotated && s.nb.Status.Phase != v1alpha1.PhaseRejected {
		s.t.Fatalf("the status says stopped: %v, and the annotation is there: %v", stopped, annotated)
	}
}

func FuzzPlan(f *testing.F) {
	f.Add([]byte{})
	for seed := range byte(40) {
		text := make([]byte, 60)
		for i := range text {
			text[i] = seed*31 + byte(i)*(7+seed)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d := dice(text)
		s := newStory(t, d.notebook())
		s.doubt = s.check
		for range min(len(text), 80) + 1 {
			s.settle()
			s.consistent()
			s.happen(&d)
			s.now = s.now.Add(time.Second)
		}
	})
}
