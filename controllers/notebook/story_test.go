// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package notebook

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/activity"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/names"
	"github.com/millrace-ml/millrace/test/golden"
)

// script is a notebook and what happens to it, a line each: "run", "crash MESSAGE", "refuse WORDS" (the pod), "use", "probe", "wait
// DURATION", "image NAME", "cpu N", "restart", "stop", "start", "evict".
type script struct {
	Notebook v1alpha1.Notebook `json:"notebook"`
	Steps    []string          `json:"steps"`
}

// story is a world in memory that a notebook is played in, and the text of it. The StatefulSet's controller is played too.
type story struct {
	t     *testing.T
	nb    *v1alpha1.Notebook
	world World
	now   time.Time
	made  int
	// used is when the server was last used, and refused why its pod cannot be made.
	used    time.Time
	refused string
	said    string
	// doubt, if it is set, looks at every world before a plan of it is carried out.
	doubt func()
	text  strings.Builder
}

func newStory(t *testing.T, nb *v1alpha1.Notebook) *story {
	t.Helper()
	prepare(nb)
	nb.CreationTimestamp = metav1.NewTime(noon)
	return &story{t: t, nb: nb, now: noon, world: World{Settings: Settings{Idle: time.Hour}}}
}

func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/story/*.in.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".in.yaml"), func(t *testing.T) {
			var c script
			load(t, file, &c)
			s := newStory(t, &c.Notebook)
			s.settle()
			for _, step := range c.Steps {
				fmt.Fprintf(&s.text, "\n%s %s\n", s.now.Format("15:04:05"), step)
				s.play(step)
				s.settle()
			}
			golden.Compare(t, strings.Replace(file, ".in.yaml", ".want.txt", 1), []byte(s.text.String()))
		})
	}
}

// settle passes until nothing changes any more, as the engine does.
func (s *story) settle() {
	s.t.Helper()
	for range 20 {
		if s.doubt != nil {
			s.doubt()
		}
		before, set := s.nb.DeepCopy(), s.world.Set.DeepCopy()
		plan := Plan(s.nb, s.world, s.now)
		wrote := s.carryOut(plan)
		Report(s.nb, s.world, s.now)
		s.tell()
		if !wrote && gocmp.Equal(before, s.nb) && gocmp.Equal(set, s.world.Set) && !s.controlSet() {
			return
		}
	}
	s.t.Fatal("it does not settle")
}

func (s *story) carryOut(plan engine.Plan) bool {
	for _, d := range plan.Delete {
		fmt.Fprintf(&s.text, "  - %s: %s, %s\n", d.Object.GetName(), d.Reason, d.Why)
		if s.world.Pod != nil && d.Object.GetUID() == s.world.Pod.UID {
			s.world.Pod = nil // the kubelet is quick here
		}
	}
	for _, o := range plan.Apply {
		if set, ok := o.(*appsv1.StatefulSet); ok {
			s.apply(set)
		}
	}
	for _, p := range plan.Patch {
		fmt.Fprintf(&s.text, "  ~ %s: %s, %s\n", p.Object.GetName(), p.Reason, p.Why)
		s.patch(p)
	}
	return !plan.Empty()
}

// apply stores the StatefulSet, whose controller takes note of it.
func (s *story) apply(set *appsv1.StatefulSet) {
	set = set.DeepCopy()
	set.UID, set.Generation, set.Status.ObservedGeneration = "set-uid", 1, 1
	s.world.Set = set
}

// patch changes the notebook's annotations, or the resources of its pod.
func (s *story) patch(p engine.Step) {
	s.t.Helper()
	if p.Subresource == "resize" {
		old, err := json.Marshal(s.world.Pod)
		if err != nil {
			s.t.Fatal(err)
		}
		patched, err := strategicpatch.StrategicMergePatch(old, p.Data, corev1.Pod{})
		if err != nil {
			s.t.Fatal(err)
		}
		s.world.Pod = &corev1.Pod{}
		if err := json.Unmarshal(patched, s.world.Pod); err != nil {
			s.t.Fatal(err)
		}
		return
	}
	var change struct {
		Metadata struct {
			Annotations map[string]*string `json:"annotations"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(p.Data, &change); err != nil {
		s.t.Fatal(err)
	}
	for key, value := range change.Metadata.Annotations {
		if value == nil {
			delete(s.nb.Annotations, key)
		} else {
			metav1.SetMetaDataAnnotation(&s.nb.ObjectMeta, key, *value)
		}
	}
}

// controlSet does what the StatefulSet's controller does, and is true when that was something.
func (s *story) controlSet() bool {
	set := s.world.Set
	switch {
	case set == nil:
	case *set.Spec.Replicas == 0 && s.world.Pod != nil:
		s.world.Pod = nil
		fmt.Fprintf(&s.text, "  - pod\n")
		return true
	case *set.Spec.Replicas == 1 && s.world.Pod == nil && s.refused != "":
		told := s.world.Refused == s.refused
		s.world.Refused = s.refused
		return !told
	case *set.Spec.Replicas == 1 && s.world.Pod == nil:
		s.made++
		s.world.Refused, s.used = "", s.now
		s.world.Pod = podInShort{Made: new(metav1.NewTime(s.now))}.pod(&state{nb: s.nb, template: set.Spec.Template})
		s.world.Pod.UID = types.UID(fmt.Sprint("pod-", s.made))
		fmt.Fprintf(&s.text, "  + pod %d with %s\n", s.made, s.world.Pod.Spec.Containers[0].Image)
		return true
	}
	return false
}

// tell says how the notebook is when that changed.
func (s *story) tell() {
	st := s.nb.Status
	said := fmt.Sprintf("  = %s", st.Phase)
	for _, c := range st.Conditions {
		if c.Type == v1alpha1.ConditionReady {
			said += fmt.Sprintf(": %s: %s", c.Reason, c.Message)
		}
	}
	for _, c := range st.PendingChanges {
		said += "; pending: " + c.Field
	}
	if st.CullTime != nil {
		said += "; stops at " + st.CullTime.Format("15:04")
	}
	if said != s.said {
		s.text.WriteString(said + "\n")
	}
	s.said = said
}

// play lets a step happen.
func (s *story) play(step string) {
	s.t.Helper()
	verb, rest, _ := strings.Cut(step, " ")
	act, known := steps[verb]
	if !known {
		s.t.Fatalf("no step %q", verb)
	}
	act(s, rest)
}

var steps = map[string]func(*story, string){
	"wait": func(s *story, rest string) {
		d, err := time.ParseDuration(rest)
		if err != nil {
			s.t.Fatal(err)
		}
		s.now = s.now.Add(d)
	},
	"run": func(s *story, _ string) {
		s.status(corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}, true)
	},
	"crash": func(s *story, message string) {
		s.status(corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}, false)
		c := &s.world.Pod.Status.ContainerStatuses[0]
		c.RestartCount++
		c.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 1, Message: message, FinishedAt: metav1.NewTime(s.now)}
	},
	"use": func(s *story, _ string) { s.used = s.now },
	"probe": func(s *story, _ string) {
		found := judge(s.world.Settings.culling(s.world.Team, s.nb), s.world.Pod.UID, s.world.Pod.CreationTimestamp.Time, activity.Answer{Last: s.used}, s.now)
		s.world.Activity = &found
	},
	"image":   func(s *story, rest string) { s.nb.Spec.Image = rest },
	"cpu":     func(s *story, rest string) { s.nb.Spec.CPU = new(resource.MustParse(rest)) },
	"restart": func(s *story, _ string) { s.annotate(names.Restart, string(s.world.Pod.UID)) },
	"stop":    func(s *story, _ string) { s.annotate(names.Stopped, s.now.Format(time.RFC3339)) },
	"start":   func(s *story, _ string) { s.nb.Annotations = nil },
	// As Kubeflow's does, which knows of no annotation but its own.
	"dashboard-start": func(s *story, _ string) { delete(s.nb.Annotations, names.Stopped) },
	"evict":           func(s *story, _ string) { s.world.Pod = nil },
	"refuse":          func(s *story, rest string) { s.refused = rest },
	"upgrade":         func(s *story, _ string) { s.world.Activity = nil },
}

func (s *story) annotate(key, value string) {
	metav1.SetMetaDataAnnotation(&s.nb.ObjectMeta, key, value)
}

func (s *story) status(state corev1.ContainerState, ready bool) {
	p := s.world.Pod
	p.Status.ContainerStatuses[0].State = state
	p.Status.Conditions = nil
	if ready {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	}
}
