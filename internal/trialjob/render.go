// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trialjob

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kjson "k8s.io/apimachinery/pkg/util/json"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
)

// place is where a value stands in a template.
var place = regexp.MustCompile(`\$\{trialParameters\.([^}]+)\}`)

// own is what of the trial itself can stand in a template.
var own = regexp.MustCompile(`^\$\{trialSpec\.(Name|Namespace|Kind|APIVersion|Parent|Annotations\[(.+)\]|Labels\[(.+)\])\}$`)

// Render makes the job of a trial. The error says what is wrong with the template, with the path of the field.
func Render(t *v1alpha1.Trial) (*unstructured.Unstructured, error) {
	job, err := Parse(t.Spec.Template)
	if err != nil {
		return nil, err
	}
	values, err := valuesOf(t, job)
	if err != nil {
		return nil, err
	}
	filled, err := values.fill(job.Object, "trialTemplate.job")
	if err != nil {
		return nil, err
	}
	content, _ := filled.(map[string]any)
	made := &unstructured.Unstructured{Object: content}
	made.SetName(t.Name)
	made.SetNamespace(t.Namespace)
	mark(made, labelsOf(t))
	return made, nil
}

// Parse reads the object of a template and holds it to what every template must be.
func Parse(template v1alpha1.TrialTemplate) (*unstructured.Unstructured, error) {
	if template.Job == nil || len(template.Job.Raw) == 0 {
		return nil, fmt.Errorf("trialTemplate.job: there is none")
	}
	content := map[string]any{}
	if err := kjson.Unmarshal(template.Job.Raw, &content); err != nil {
		return nil, fmt.Errorf("trialTemplate.job: %w", err)
	}
	job := &unstructured.Unstructured{Object: content}
	for path, missing := range map[string]bool{"apiVersion": job.GetAPIVersion() == "", "kind": job.GetKind() == ""} {
		if missing {
			return nil, fmt.Errorf("trialTemplate.job.%s: it is needed to know what to make", path)
		}
	}
	if _, err := schema.ParseGroupVersion(job.GetAPIVersion()); err != nil {
		return nil, fmt.Errorf("trialTemplate.job.apiVersion: %w", err)
	}
	if job.GetName() != "" || job.GetNamespace() != "" || job.GetGenerateName() != "" {
		return nil, fmt.Errorf("trialTemplate.job.metadata: name, generateName and namespace are the trial's: remove them")
	}
	if why := Refused(job.GroupVersionKind()); why != "" {
		return nil, &RefusedError{why}
	}
	unstructured.RemoveNestedField(content, "status")
	return job, nil
}

// RefusedError tells that the kind of a template is one that trials never make.
type RefusedError struct{ why string }

func (e *RefusedError) Error() string { return e.why }

// values are what stands for places by their names; the places of parameters that are not active have none.
type values struct {
	known  map[string]*string
	strict bool
}

// valuesOf are the values of a trial. A parameter that is not among the assignments is one that is not active where the trial is
// of an Experiment, which checks the names, and a fault where it is not.
func valuesOf(t *v1alpha1.Trial, job *unstructured.Unstructured) (values, error) {
	v := values{known: map[string]*string{}, strict: t.Spec.Experiment == ""}
	assigned := map[string]*string{}
	for _, a := range t.Spec.Assignments {
		assigned[a.Name] = a.Value
	}
	if len(t.Spec.Template.Parameters) == 0 {
		v.known = assigned
		return v, nil
	}
	for _, p := range t.Spec.Template.Parameters {
		switch value, isOwn := ownValue(t, job, p.Source); {
		case isOwn:
			v.known[p.Name] = value
		case assigned[p.Source] == nil && v.strict:
			return v, fmt.Errorf("trialTemplate.parameters[%s].source: there is no assignment of %q", p.Name, p.Source)
		default:
			v.known[p.Name] = assigned[p.Source]
		}
	}
	return v, nil
}

// ownValue is what a source means of the trial itself; the parent of a trial that has none is as a parameter that is not active.
func ownValue(t *v1alpha1.Trial, job *unstructured.Unstructured, source string) (value *string, found bool) {
	m := own.FindStringSubmatch(source)
	if m == nil {
		return nil, false
	}
	switch m[1] {
	case "Name":
		return &t.Name, true
	case "Namespace":
		return &t.Namespace, true
	case "Kind":
		return new(job.GetKind()), true
	case "APIVersion":
		return new(job.GetAPIVersion()), true
	case "Parent":
		if t.Spec.Parent == "" {
			return nil, true
		}
		return &t.Spec.Parent, true
	}
	if m[2] != "" {
		return new(job.GetAnnotations()[m[2]]), true
	}
	return new(cmp.Or(job.GetLabels()[m[3]], t.Spec.Labels[m[3]])), true
}

// texts are fields that hold text in every kind, so that a number there stays one in quotes.
var texts = []string{"args", "command", "value", "labels", "annotations", "matchLabels", "nodeSelector", "data", "stringData"}

// nothing is what an inactive parameter leaves behind.
type nothing struct{}

// fill puts values into the places below a node. The path is where it is.
func (v values) fill(node any, path string) (any, error) {
	switch n := node.(type) {
	case map[string]any:
		for key, child := range n {
			filled, err := v.fill(child, path+"."+key)
			if err != nil {
				return nil, err
			}
			n[key] = filled
			if _, gone := filled.(nothing); gone {
				delete(n, key)
			}
		}
	case []any:
		kept := make([]any, 0, len(n)) // an empty list stays one: null is refused where a list is wanted
		for i, child := range n {
			filled, err := v.fill(child, fmt.Sprintf("%s[%d]", path, i))
			if err != nil {
				return nil, err
			}
			if _, gone := filled.(nothing); !gone {
				kept = append(kept, filled)
			}
		}
		return kept, nil
	case string:
		return v.scalar(n, path)
	}
	return node, nil
}

// scalar puts values into a text. One that is a place and nothing else takes the value's own type, where the field is not one of text.
func (v values) scalar(s, path string) (any, error) {
	whole := place.FindStringSubmatch(s)
	if whole != nil && whole[0] == s {
		value, err := v.of(whole[1], path)
		if err != nil {
			return nil, err
		}
		if value == nil {
			return nothing{}, nil
		}
		return typed(*value, path), nil
	}
	var failed error
	filled := place.ReplaceAllStringFunc(s, func(found string) string {
		value, err := v.of(place.FindStringSubmatch(found)[1], path)
		if err != nil {
			failed = err
		}
		if value == nil {
			return ""
		}
		return *value
	})
	return filled, failed
}

func (v values) of(name, path string) (*string, error) {
	value, known := v.known[name]
	if !known && v.strict {
		return nil, fmt.Errorf("%s: ${trialParameters.%s} is no parameter: correct the name or add it to trialTemplate.parameters", path, name)
	}
	return value, nil
}

func typed(value, path string) any {
	for step := range strings.SplitSeq(path, ".") {
		if name, _, _ := strings.Cut(step, "["); slices.Contains(texts, name) {
			return value
		}
	}
	if n, err := strconv.ParseInt(value, 10, 64); err == nil {
		return n
	}
	if f, err := strconv.ParseFloat(value, 64); err == nil && json.Valid([]byte(value)) {
		return f
	}
	return value
}

// Places lists the names in the places of a template, sorted.
func Places(template v1alpha1.TrialTemplate) []string {
	if template.Job == nil {
		return nil
	}
	var all []string
	for _, m := range place.FindAllSubmatch(template.Job.Raw, -1) {
		all = append(all, string(m[1]))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// IsOwn is true of a source that is of the trial itself.
func IsOwn(source string) bool { return own.MatchString(source) }

// labelsOf are the labels by which a trial's job and its pods are found.
func labelsOf(t *v1alpha1.Trial) map[string]string {
	labels := map[string]string{names.ManagedBy: names.Manager, names.Trial: t.Name}
	if t.Spec.Experiment != "" {
		labels[names.Experiment] = t.Spec.Experiment
	}
	return labels
}

// mark labels a job and the pods of its templates.
func mark(job *unstructured.Unstructured, labels map[string]string) {
	label(job.Object, labels, "metadata", "labels")
	pods := map[string]string{}
	for key, value := range labels {
		if key != names.ManagedBy {
			pods[key] = value
		}
	}
	if row, ok := Find(job.GroupVersionKind()); ok && row.podLabels != nil {
		label(job.Object, pods, row.podLabels...)
	}
	EachPodTemplate(job.Object, func(template map[string]any) { label(template, pods, "metadata", "labels") })
}

// EachPodTemplate calls do with every pod template below a node, wherever its kind has them.
func EachPodTemplate(node any, do func(template map[string]any)) {
	switch n := node.(type) {
	case map[string]any:
		if template, ok := n["template"].(map[string]any); ok && isPodTemplate(template) {
			do(template)
		}
		for _, key := range slices.Sorted(keysOf(n)) {
			EachPodTemplate(n[key], do)
		}
	case []any:
		for _, child := range n {
			EachPodTemplate(child, do)
		}
	}
}

func isPodTemplate(template map[string]any) bool {
	containers, _, err := unstructured.NestedFieldNoCopy(template, "spec", "containers")
	_, isList := containers.([]any)
	return err == nil && isList
}

func label(in map[string]any, labels map[string]string, path ...string) {
	for key, value := range labels {
		// What is in the way is not a map of labels: the API server tells the user.
		_ = unstructured.SetNestedField(in, value, append(slices.Clone(path), key)...)
	}
}
