// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trialjob

import (
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"strings"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/ext"
	"github.com/tidwall/gjson"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// State is how far a job came.
type State string

// The states.
const (
	Waiting   State = "Waiting" // it is there and has not begun
	Queued    State = "Queued"  // it is suspended, or waits in a queue
	Running   State = "Running"
	Succeeded State = "Succeeded"
	Failed    State = "Failed"
)

// Verdict is what a job says of itself.
type Verdict struct {
	State State
	// Reason and Message are the job's own.
	Reason, Message string
	// Ended is when it ended, as it says; zero where it does not.
	Ended time.Time
	// Wrong is what is wrong with a condition of the template; the state then is as if it was not met.
	Wrong string
}

// costLimit bounds the work of a condition; that of a thousand conditions of a job is a hundredth of it.
const costLimit = 1_000_000

func keysOf(m map[string]any) iter.Seq[string] { return maps.Keys(m) }

// Check says what is wrong with the conditions of a template for a kind of jobs.
func Check(template v1alpha1.TrialTemplate) error {
	for path, c := range map[string]*v1alpha1.JobCondition{"success": template.Success, "failure": template.Failure} {
		if c == nil {
			continue
		}
		if c.GJSON != "" && !bounded(c.GJSON) {
			return fmt.Errorf("trialTemplate.%s.gjson: %s", path, unbounded)
		}
		if c.CEL == "" {
			continue
		}
		if _, err := compile(c.CEL); err != nil {
			return fmt.Errorf("trialTemplate.%s.cel: %w", path, err)
		}
	}
	job, err := Parse(template)
	if err != nil {
		return err
	}
	if _, known := Find(job.GroupVersionKind()); !known && template.Success == nil {
		return fmt.Errorf("trialTemplate.success: when a %s has succeeded is not known: say it with cel or gjson", job.GetKind())
	}
	return nil
}

// Judge tells how the job of a trial goes. Failure is looked at before success.
func Judge(template v1alpha1.TrialTemplate, job *unstructured.Unstructured) Verdict {
	row, _ := Find(job.GroupVersionKind())
	ends := []struct {
		state     State
		condition *v1alpha1.JobCondition
		signs     []sign
	}{{Failed, template.Failure, row.failure}, {Succeeded, template.Success, row.success}}
	var wrong string
	for _, end := range ends {
		v, met := met(job, end.condition, end.signs)
		if v.Wrong != "" {
			wrong = v.Wrong
		}
		if met {
			v.State, v.Wrong = end.state, wrong
			v.Ended = endOf(job.Object, v.Ended)
			return v
		}
	}
	return Verdict{State: progress(row, job.Object), Wrong: wrong}
}

// progress is the state of a job that has not ended.
func progress(row Row, job map[string]any) State {
	if _, ok := first(append(row.queued, suspended...), job); ok {
		return Queued
	}
	if _, ok := first(row.running, job); ok || row.running == nil {
		return Running
	}
	return Waiting
}

// met is true when a job is in a state, by the template's condition where it has one.
func met(job *unstructured.Unstructured, c *v1alpha1.JobCondition, signs []sign) (Verdict, bool) {
	switch {
	case c == nil:
		return first(signs, job.Object)
	case c.CEL != "":
		return byCEL(c.CEL, job)
	}
	return byGJSON(c.GJSON, job)
}

func first(signs []sign, job map[string]any) (Verdict, bool) {
	for _, s := range signs {
		if v, ok := s.found(job); ok {
			return v, true
		}
	}
	return Verdict{}, false
}

// environment is made once: a new one for each look at a condition made the look four times as long.
var environment, errEnvironment = cel.NewEnv(
	cel.Variable("job", cel.DynType), ext.Strings(), cel.CrossTypeNumericComparisons(true),
)

func compile(expression string) (cel.Program, error) {
	if errEnvironment != nil {
		return nil, fmt.Errorf("preparing CEL: %w", errEnvironment)
	}
	ast, issues := environment.Compile(expression)
	if err := issues.Err(); err != nil {
		return nil, err
	}
	if ast.OutputType() != cel.BoolType && ast.OutputType() != cel.DynType {
		return nil, fmt.Errorf("it is a %s, and must be true or false", ast.OutputType())
	}
	return environment.Program(ast, cel.CostLimit(costLimit))
}

// byCEL is true when the expression is. One over a field that is not there is false: a status is empty at first.
func byCEL(expression string, job *unstructured.Unstructured) (Verdict, bool) {
	program, err := compile(expression)
	if err != nil {
		return Verdict{Wrong: err.Error()}, false
	}
	out, _, err := program.Eval(map[string]any{"job": job.Object})
	if err != nil {
		return Verdict{}, false
	}
	yes, isBool := out.Value().(bool)
	if !isBool {
		return Verdict{Wrong: fmt.Sprintf("%q is a %T, and must be true or false", expression, out.Value())}, false
	}
	return Verdict{}, yes
}

// unbounded is what is wrong with a path whose answer could be of any size.
const unbounded = "a path has no modifier but @this, and no list of several paths as in [a,b] or {a,b}: use cel"

// bounded is true of a path whose answer is no larger than the object. Lists of paths, and modifiers that quote, double what they are
// given: a hundred of them in a row would take all of the manager's memory.
func bounded(path string) bool {
	lists := strings.ContainsAny(path, "[{") && strings.Contains(path, ",")
	return !lists && !strings.Contains(strings.ReplaceAll(path, "@this", ""), "@")
}

// byGJSON is true when the path finds something, as in Katib; a condition that it finds tells the reason.
func byGJSON(path string, job *unstructured.Unstructured) (Verdict, bool) {
	if !bounded(path) {
		return Verdict{Wrong: unbounded}, false
	}
	content, err := json.Marshal(job.Object)
	if err != nil {
		return Verdict{Wrong: err.Error()}, false
	}
	found := gjson.GetBytes(content, path)
	if list := found.Array(); found.IsArray() && len(list) > 0 {
		found = list[0]
	} else if found.IsArray() || !found.Exists() {
		return Verdict{}, false
	}
	return Verdict{
		Reason: found.Get("reason").String(), Message: found.Get("message").String(), Ended: instant(found.Get("lastTransitionTime").String()),
	}, found.IsObject() || found.Bool()
}

// endings are the fields in which jobs tell when they ended.
var endings = [][]string{{"status", "completionTime"}, {"status", "finishedAt"}, {"status", "endTime"}}

func endOf(job map[string]any, since time.Time) time.Time {
	for _, path := range endings {
		said, _, _ := unstructured.NestedString(job, path...)
		if at := instant(said); !at.IsZero() {
			return at
		}
	}
	return since
}

func instant(s string) time.Time {
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}
	}
	return at.UTC()
}
