// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/condition"
	"github.com/millrace-ml/millrace/internal/study"
	"github.com/millrace-ml/millrace/internal/suggest"
	"github.com/millrace-ml/millrace/internal/trialjob"
)

func (l *life) wantPhase(phase, reason string) {
	l.t.Helper()
	c := condition.Get(l.e, v1alpha1.ConditionSucceeded)
	if l.e.Status.Phase != phase || c.Reason != reason {
		l.t.Errorf("want %s by %s, got %s by %s: %s", phase, reason, l.e.Status.Phase, c.Reason, c.Message)
	}
}

// TestScaleDownKillsNothing: katib#2725 deleted the newest trials, ended ones too.
func TestScaleDownKillsNothing(t *testing.T) {
	l := newLife(t, search("Random", 4, 20))
	l.pass(all)
	l.finish("digits-4", v1alpha1.PhaseSucceeded, "1")
	l.e.Spec.ParallelTrials = 1
	for range 3 {
		if plan := l.pass(all); len(plan.Delete)+len(plan.Patch) > 0 || len(l.w.Trials) != 4 {
			t.Fatalf("lowering spec.parallelTrials deletes %v, patches %v, and leaves %d trials", plan.Delete, plan.Patch, len(l.w.Trials))
		}
	}
	for _, name := range l.active() {
		l.finish(name, v1alpha1.PhaseSucceeded, "1")
	}
	l.pass(all)
	if got := l.active(); len(got) != 1 {
		t.Errorf("want one trial at once from now on, got %v", got)
	}
}

// TestNoMoreTrialsThanAskedFor: katib forgot trials without metrics when it counted.
func TestNoMoreTrialsThanAskedFor(t *testing.T) {
	l := newLife(t, search("Random", 3, 5))
	for range 10 {
		l.pass(all)
		for _, name := range l.active() {
			l.finish(name, v1alpha1.PhaseMetricsUnavailable, "")
		}
	}
	l.pass(all)
	if len(l.w.Trials) != 5 {
		t.Errorf("%d trials, want 5", len(l.w.Trials))
	}
	l.wantPhase(v1alpha1.PhaseFailed, v1alpha1.ReasonNoTrialSucceeded)
}

// TestNaNNeverWins: katib took a trial without a value for the best one (#2723).
func TestNaNNeverWins(t *testing.T) {
	l := newLife(t, search("Random", 3, 3))
	l.pass(all)
	l.finish("digits-1", v1alpha1.PhaseMetricsUnavailable, "NaN")
	l.finish("digits-2", v1alpha1.PhaseSucceeded, "3")
	l.finish("digits-3", v1alpha1.PhaseSucceeded, "NaN")
	l.pass(all)
	l.wantPhase(v1alpha1.PhaseSucceeded, v1alpha1.ReasonMaxTrialsReached)
	if l.e.Status.Best == nil || l.e.Status.Best.Trial != "digits-2" {
		t.Errorf("the best trial is %+v", l.e.Status.Best)
	}
}

// TestGoalEndsASearchWithoutAMaximum, and stays reached: katib marked such an experiment as restarting again and again.
func TestGoalEndsASearchWithoutAMaximum(t *testing.T) {
	e := search("Random", 3, 0)
	e.Spec.Objectives[0].Goal = "0.1"
	l := newLife(t, e)
	l.pass(all)
	l.finish("digits-2", v1alpha1.PhaseSucceeded, "0.1")
	plan := l.pass(all)
	l.wantPhase(v1alpha1.PhaseSucceeded, v1alpha1.ReasonGoalReached)
	if len(plan.Patch) != 2 || len(plan.Create) > 0 {
		t.Errorf("want the two that run stopped and none made, got %+v", plan)
	}
	for range 3 {
		before := l.e.DeepCopy()
		if plan := l.pass(all); !plan.Empty() {
			t.Errorf("an experiment that has ended plans %+v", plan)
		}
		if got := l.e.Status.CompletionTime; !got.Equal(before.Status.CompletionTime) {
			t.Errorf("it ends again at %s", got)
		}
	}
}

// TestTrialsMayFinish where the experiment asks for it.
func TestTrialsMayFinish(t *testing.T) {
	e := search("Random", 2, 0)
	e.Spec.Objectives[0].Goal, e.Spec.AtEnd = "0.1", v1alpha1.AtEndFinish
	l := newLife(t, e)
	l.pass(all)
	l.finish("digits-1", v1alpha1.PhaseSucceeded, "0.1")
	if plan := l.pass(all); len(plan.Patch) > 0 {
		t.Errorf("want the other one left alone, got %+v", plan.Patch)
	}
	l.finish("digits-2", v1alpha1.PhaseSucceeded, "0.01")
	l.pass(all)
	if l.e.Status.Best.Trial != "digits-2" || *l.e.Status.Trials.Succeeded != 2 {
		t.Errorf("it does not count: %+v", l.e.Status)
	}
}

func TestARunningTrialCanReachTheGoal(t *testing.T) {
	e := search("Random", 2, 10)
	e.Spec.Objectives[0].Goal = "0.1"
	l := newLife(t, e)
	l.pass(all)
	l.run("digits-1")
	l.w.Live = map[uid]trialjob.Measured{l.find("digits-1").UID: {Series: map[string]trialjob.Series{"loss": {Min: 0.05, Max: 1, Latest: 0.2}}}}
	l.pass(all)
	l.wantPhase(v1alpha1.PhaseSucceeded, v1alpha1.ReasonGoalReached)
	if one, two := l.find("digits-1").Spec.Stop, l.find("digits-2").Spec.Stop; one.Reason != v1alpha1.StopEarly || two.Reason != v1alpha1.StopKilled {
		t.Errorf("want the first stopped with its result and the second killed, got %+v and %+v", one, two)
	}
	l.w.Live = nil
	if plan := l.pass(all); len(plan.Create) > 0 {
		t.Error("the end is forgotten with what was measured")
	}
}

// TestASearchThatIsUsedUpEnds: katib waited for ever for what a grid does not have.
func TestASearchThatIsUsedUpEnds(t *testing.T) {
	e := search("Grid", 4, 0)
	e.Spec.Parameters = []v1alpha1.Parameter{{Name: "lr", Type: v1alpha1.ParameterDiscrete, Values: []string{"0.1", "0.2", "0.3", "0.4", "0.5"}}}
	l := newLife(t, e)
	for range 6 {
		l.pass(all)
		for _, name := range l.active() {
			l.finish(name, v1alpha1.PhaseSucceeded, "1")
		}
	}
	l.pass(all)
	l.wantPhase(v1alpha1.PhaseSucceeded, v1alpha1.ReasonSearchExhausted)
	seen := map[string]bool{}
	for _, line := range l.sequence() {
		_, point, _ := strings.Cut(line, " ")
		seen[point] = true
	}
	if len(seen) != 5 || len(l.w.Trials) != 5 {
		t.Errorf("want each of 5 points once, got %v", l.sequence())
	}
}

func TestFailuresEndTheExperimentAndTellWhatTheyShare(t *testing.T) {
	e := search("Random", 2, 20)
	e.Spec.MaxFailedTrials = new(int32(3))
	l := newLife(t, e)
	for range 2 {
		l.pass(all)
		for _, name := range l.active() {
			l.finish(name, v1alpha1.PhaseFailed, "")
		}
	}
	l.pass(all)
	l.wantPhase(v1alpha1.PhaseFailed, v1alpha1.ReasonMaxFailedTrialsReached)
	if f := l.e.Status.Failure; f == nil || f.Trials != 4 || !strings.Contains(f.Message, "failed") {
		t.Errorf("want what 4 failures share, got %+v", f)
	}
	l.e.Spec.MaxFailedTrials = nil
	l.pass(all)
	if l.e.Status.Phase == v1alpha1.PhaseFailed || len(l.active()) != 2 || l.e.Status.CompletionTime != nil {
		t.Errorf("it does not go on when the limit is gone: %+v", l.e.Status)
	}
}

// TestADeletedTrialIsReplaced: katib never made up for one (#1830).
func TestADeletedTrialIsReplaced(t *testing.T) {
	l := newLife(t, search("Random", 3, 6))
	l.pass(all)
	l.finish("digits-1", v1alpha1.PhaseSucceeded, "1")
	l.remove(l.find("digits-2"))
	l.pass(all)
	if again := l.find("digits-2"); again == nil || again.Spec.Proposal != 4 {
		t.Errorf("want digits-2 again as the fourth proposal, got %+v", again)
	}
	l.pass(all)
	if got := len(l.active()); got != 3 {
		t.Errorf("%d run, want 3", got)
	}
}

func TestABudgetThatIsRaisedResumes(t *testing.T) {
	for policy, want := range map[v1alpha1.ResumePolicy]int{v1alpha1.ResumeWhenRaised: 3, v1alpha1.ResumeNever: 2} {
		e := search("Random", 2, 2)
		e.Spec.Resume = policy
		l := newLife(t, e)
		l.pass(all)
		for _, name := range l.active() {
			l.finish(name, v1alpha1.PhaseSucceeded, "1")
		}
		l.pass(all)
		l.wantPhase(v1alpha1.PhaseSucceeded, v1alpha1.ReasonMaxTrialsReached)
		e.Spec.MaxTrials = 3
		l.pass(all)
		if got := len(l.w.Trials); got != want {
			t.Errorf("%s: %d trials, want %d", policy, got, want)
		}
	}
}

func TestTimeIsUp(t *testing.T) {
	e := search("Random", 2, 0)
	e.Spec.MaxDurationSeconds = 3600
	l := newLife(t, e)
	if plan := l.pass(all); plan.Again != time.Hour {
		t.Errorf("it looks again in %s", plan.Again)
	}
	l.finish("digits-1", v1alpha1.PhaseSucceeded, "1")
	l.now = noon.Add(2 * time.Hour)
	l.pass(all)
	l.wantPhase(v1alpha1.PhaseSucceeded, v1alpha1.ReasonMaxDurationReached)
	if len(l.active()) > 0 {
		t.Errorf("%v still run", l.active())
	}
}

// TestOldTrialsAreWrittenDownBeforeTheyGo plays an experiment with more trials than it keeps as objects.
func TestOldTrialsAreWrittenDownBeforeTheyGo(t *testing.T) {
	e := search("Random", 25, 500)
	e.Spec.TrialHistoryLimit = new(int32(100))
	kept, plain := newLife(t, e), newLife(t, search("Random", 25, 500))
	for _, l := range []*life{kept, plain} {
		for !condition.Decided(l.e, v1alpha1.ConditionSucceeded) {
			if plan := l.pass(all); len(plan.Delete) > 0 && len(l.w.Pages) == 0 {
				t.Fatal("trials are deleted before they are written down")
			}
			for _, name := range l.active() {
				l.finish(name, v1alpha1.PhaseSucceeded, loss(l.find(name)))
			}
		}
		for range 3 {
			l.pass(all)
		}
	}
	if n := len(kept.w.Trials); n > 100+pageSize || len(kept.w.Pages) < 2 {
		t.Errorf("%d trials are objects, and there are %d pages", n, len(kept.w.Pages))
	}
	if a, b := strings.Join(kept.sequence(), "\n"), strings.Join(plain.sequence(), "\n"); a != b {
		t.Error("writing trials down changes the search")
	}
	if a, b := kept.e.Status, plain.e.Status; a.Best.Trial != b.Best.Trial || *a.Trials.Succeeded != 500 || a.Trials.Archived+int32(len(kept.w.Trials)) != 500 {
		t.Errorf("it is counted otherwise: %+v", a.Trials)
	}
}

// TestAnObjectStaysSmall: katib's Suggestion outgrew what etcd takes (#1847).
func TestAnObjectStaysSmall(t *testing.T) {
	l := newLife(t, search("Random", 10, 0))
	var page Page
	for i := range 10000 {
		value := fmt.Sprint(10000 - i)
		page.Records = append(page.Records, study.Record{
			Name: fmt.Sprint("digits-", i+1), Index: i + 1, Proposal: i + 1, Phase: v1alpha1.PhaseSucceeded, Ended: noon,
			Assignment: suggest.Assignment{"lr": "0.1", "width": "64"}, Metrics: []v1alpha1.MetricValue{{Name: "loss", Value: value}},
		})
	}
	l.w.Pages = []Page{page}
	Report(l.e, l.w, l.now)
	if text, err := json.Marshal(l.e.Status); err != nil || len(text) > 16<<10 {
		t.Errorf("the status of 10,000 trials has %d bytes (%v)", len(text), err)
	}
	if *l.e.Status.Trials.Succeeded != 10000 || len(l.e.Status.Curve) > 32 {
		t.Errorf("got %+v", l.e.Status.Trials)
	}
}

func TestATemplateThatIsNotThereIsTold(t *testing.T) {
	e := search("Random", 2, 2)
	e.Spec.TrialTemplate = v1alpha1.TrialTemplate{ConfigMap: &v1alpha1.TemplateConfigMap{Name: "templates", Key: "job"}}
	l := newLife(t, e)
	l.w.Missing = "spec.trialTemplate.configMap: there is no ConfigMap templates with the key job: create it."
	if plan := l.pass(all); len(plan.Create) > 0 || plan.Again == 0 {
		t.Errorf("it makes %v and looks again after %s, and nothing tells when the ConfigMap is there", plan.Create, plan.Again)
	}
	if c := condition.Get(e, v1alpha1.ConditionAccepted); c.Status != metav1.ConditionFalse || c.Reason != v1alpha1.ReasonTemplateNotFound {
		t.Errorf("got %+v", c)
	}
	l.w.Missing, l.w.Template = "", search("Random", 1, 1).Spec.TrialTemplate.Job
	l.pass(all)
	if len(l.w.Trials) != 2 || l.w.Trials[0].Spec.Template.Job == nil || l.w.Trials[0].Spec.Template.ConfigMap != nil {
		t.Errorf("want two trials with the template itself, got %+v", l.w.Trials)
	}
}

// TestARefusedSearchStaysRefused: a manager that has just started has no answer yet, and said for a moment that the search is Pending.
func TestARefusedSearchStaysRefused(t *testing.T) {
	e := search("Hyperband", 3, 9) // r_l is missing
	e.Generation = 2
	var w World
	w.study(e)
	refused, unanswered := w, w
	refused.Answer = w.studied.summary.Next(1, func() bool { return false })
	unanswered.Searching = true
	Report(e, refused, noon)
	if e.Status.Phase != v1alpha1.PhaseRejected {
		t.Fatalf("it is %s", e.Status.Phase)
	}
	for i := range e.Status.Conditions {
		e.Status.Conditions[i].ObservedGeneration = e.Generation // as the engine does
	}
	before := e.DeepCopy()
	if Report(e, unanswered, noon.Add(time.Hour)); !equality.Semantic.DeepEqual(before, e) {
		t.Errorf("without an answer it is %s: %+v", e.Status.Phase, e.Status.Conditions)
	}
	if e.Generation++; decide(e, unanswered, stateOf(e, unanswered, noon)).rejected {
		t.Error("a search that was changed is not looked at anew")
	}
}

// TestAPageFitsIntoAConfigMap: of trials with many parameters and long values 200 were more than the API server takes, and none was put away.
func TestAPageFitsIntoAConfigMap(t *testing.T) {
	e := search("Random", 1, 0)
	e.Spec.TrialHistoryLimit = new(int32(0))
	var w World
	for i := range pageSize {
		var trial v1alpha1.Trial
		trial.Name, trial.Spec.Proposal, trial.Status.Phase = fmt.Sprint("digits-", i+1), int32(i+1), v1alpha1.PhaseSucceeded
		condition.Set(&trial, v1alpha1.ConditionSucceeded, metav1.ConditionTrue, "Reason", "message")
		for k := range 100 {
			trial.Spec.Assignments = append(trial.Spec.Assignments, v1alpha1.Assignment{Name: fmt.Sprint("parameter-", k), Value: new(strings.Repeat("v", 200))})
		}
		w.Trials = append(w.Trials, trial)
	}
	page := nextPage(e, w)
	records, err := study.Decode(page.Data[study.PageKey])
	if size := len(page.Data[study.PageKey]); size > 1<<20 || len(records) == 0 || err != nil {
		t.Errorf("the page has %d records and %d bytes (%v)", len(records), size, err)
	}
}
