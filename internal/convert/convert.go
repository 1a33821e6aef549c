// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package convert turns jobs of the Kubeflow training operators into TrainingJobs, Katib's Experiments, Kubeflow's Notebooks, Profiles and
// PodDefaults into ours, and the profiles of a JupyterHub into Notebooks.
//
//	object -> table of kinds -> roles -> the framework's block -> run policy -> TrainingJob
//
// A field is taken out of the object as it is read, so that what is left at the end is what nobody has read. It becomes
// a remark, as does everything that a TrainingJob says in another way: nothing is dropped without a word. A kind is a row
// of a table; another one is another row.
package convert

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	kjson "k8s.io/apimachinery/pkg/util/json"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// Remark is what there is to say about a field of an object that was converted.
type Remark struct {
	// Path is the field in the original.
	Path string
	Text string
	// Lost is true when the TrainingJob does not do what the field asked for.
	Lost bool
}

// String is the remark in one line, whatever the user's values in it hold.
func (r Remark) String() string {
	word := "note"
	if r.Lost {
		word = "not carried over"
	}
	return strings.Join(strings.Fields(word+": "+r.Path+": "+r.Text), " ")
}

// Fault is why an object cannot be converted at all.
type Fault struct {
	Path, Message string
}

func (f *Fault) Error() string { return f.Path + ": " + f.Message }

// Result is what has become of an object: the TrainingJob and what goes with it, and what there is to say about it. An
// object of another kind has no objects.
type Result struct {
	Objects []map[string]any
	Remarks []Remark
	// Absorbed is true when the object has become a part of another one, and is to be left out.
	Absorbed bool
}

// Converter converts objects that may refer to each other.
type Converter struct {
	runtimes []trainingRuntime
	// objects are all that come together.
	objects []map[string]any
}

// New prepares the conversion of objects that come together: a TrainJob is completed by its runtime.
func New(objects []map[string]any) (Converter, error) {
	known, err := shipped()
	if err != nil {
		return Converter{}, err
	}
	return Converter{append(runtimesOf(objects), known...), objects}, nil
}

// Convert converts an object. One of a kind that is no training job has a result without objects.
func (c Converter) Convert(object map[string]any) (Result, error) {
	if result, ok, err := c.workspace(object); ok {
		return result, err
	}
	if c.absorbed(object) {
		return Result{Absorbed: true}, nil
	}
	if isExperiment(object) {
		return c.experiment(object)
	}
	if object["kind"] == hubKind {
		return c.hub(object)
	}
	r, ok := find(object)
	if !ok {
		return Result{Remarks: strange(object)}, nil
	}
	object = runtime.DeepCopyJSON(object)
	log := &log{target: "TrainingJob"}
	run := &conversion{log: log, row: r, runtimes: c.runtimes, top: log.open("", object)}
	run.job.APIVersion, run.job.Kind = v1alpha1.GroupVersion.String(), "TrainingJob"
	run.job.Spec.Framework = r.framework
	run.all()
	if log.fault != nil {
		return Result{}, log.fault
	}
	job, err := run.object()
	if err != nil {
		return Result{}, err
	}
	log.leftovers()
	return Result{Objects: append([]map[string]any{job}, run.more...), Remarks: log.sorted()}, nil
}

// conversion is one object on its way.
type conversion struct {
	*log
	row      row
	runtimes []trainingRuntime
	top      *fields
	metadata map[string]any
	job      v1alpha1.TrainingJob
	// parts are the roles with what a typed role cannot hold.
	parts []part
	// more are objects that go with the job, and beside those that came with the original.
	more, beside []map[string]any
}

// part is a role as it is being converted.
type part struct {
	v1alpha1.Role
	// path of the role in the original.
	path     string
	template map[string]any
}

func (c *conversion) all() {
	c.top.drop("apiVersion", "kind", "status")
	c.meta()
	spec := c.top.object("spec")
	if !spec.given {
		c.fail("spec", "Required value")
		return
	}
	steps := c.row.steps
	if steps == nil {
		steps = replicated
	}
	for _, step := range steps {
		step(c, spec)
		if c.fault != nil {
			return
		}
	}
	c.queue()
	c.reserved()
}

// served is what only a server writes into metadata.
var served = []string{
	"creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid",
}

const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// meta carries over what names and describes the job.
func (c *conversion) meta() {
	meta := c.top.object("metadata")
	meta.drop(served...)
	c.metadata = map[string]any{}
	for _, key := range []string{"name", "generateName", "namespace"} {
		if value := meta.text(key); value != "" {
			c.metadata[key] = value
		}
	}
	for _, key := range []string{"labels", "annotations"} {
		if value := meta.plain(key); len(value) > 0 {
			c.metadata[key] = value
		}
	}
	if annotations, ok := c.metadata["annotations"].(map[string]any); ok {
		delete(annotations, lastApplied)
		if len(annotations) == 0 {
			delete(c.metadata, "annotations")
		}
	}
	meta.lose("ownerReferences", "the owner may not exist where the job goes")
	meta.lose("finalizers", "whoever removes it does not watch %ss", c.target)
}

// name is the job's name, or what it begins with.
func (c *conversion) name() string {
	for _, key := range []string{"name", "generateName"} {
		if name, ok := c.metadata[key].(string); ok {
			return name
		}
	}
	return ""
}

// part is the role of a name, or nil.
func (c *conversion) part(role string) *part {
	i := slices.IndexFunc(c.parts, func(p part) bool { return p.Name == role })
	if i < 0 {
		return nil
	}
	return &c.parts[i]
}

// object is the job as it is written. Templates stay as the user wrote them: types would add what says nothing.
func (c *conversion) object() (map[string]any, error) {
	c.job.Spec.Roles = nil
	for _, p := range c.parts {
		c.job.Spec.Roles = append(c.job.Spec.Roles, p.Role)
	}
	content, err := contentOf(c.job)
	if err != nil {
		return nil, err
	}
	delete(content, "status")
	content["metadata"] = c.metadata
	spec, _ := content["spec"].(map[string]any)
	roles, _ := spec["roles"].([]any)
	for i, r := range roles {
		role, _ := r.(map[string]any)
		role["template"] = c.parts[i].template
	}
	return content, nil
}

func contentOf(value any) (map[string]any, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("writing %T: %w", value, err)
	}
	var content map[string]any
	if err := kjson.Unmarshal(text, &content); err != nil {
		return nil, fmt.Errorf("writing %T: %w", value, err)
	}
	return content, nil
}
