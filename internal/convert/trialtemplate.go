// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"bytes"
	"cmp"
	"slices"
	"text/template"

	"k8s.io/apimachinery/pkg/runtime"
	kjson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"
)

// standard are the conditions that every kind has here by itself.
var standard = []string{
	`status.conditions.#(type=="Complete")#|#(status=="True")#`, `status.conditions.#(type=="Failed")#|#(status=="True")#`,
	`status.conditions.#(type=="Succeeded")#|#(status=="True")#`,
}

func (s *search) template(spec *fields, out map[string]any) {
	from := spec.object("trialTemplate")
	t := map[string]any{"retain": map[bool]string{true: "WithTrial", false: "Never"}[from.flag("retain")]}
	var places []any
	for _, p := range from.objects("trialParameters") {
		place := map[string]any{}
		for theirs, ours := range map[string]string{"name": "name", "reference": "source", "description": "description"} {
			put(place, ours, p.text(theirs))
		}
		places = append(places, place)
	}
	put(t, "parameters", places)
	labels := from.plain("primaryPodLabels")
	trial := from.plain("trialSpec")
	if old := from.object("goTemplate"); old.given {
		trial, places = s.goTemplate(old, out), append(places, s.places(out)...)
		put(t, "parameters", places)
	}
	if trial == nil {
		trial = s.configMap(from.object("configMap"), t)
	}
	if trial != nil {
		t["job"], labels = s.job(trial, labels)
	}
	primary := map[string]any{}
	put(primary, "labels", labels)
	put(primary, "container", from.text("primaryContainerName"))
	put(t, "primaryPod", primary)
	for theirs, ours := range map[string]string{"successCondition": "success", "failureCondition": "failure"} {
		if path := from.text(theirs); path != "" && (t["configMap"] != nil || !slices.Contains(standard, path)) {
			t[ours] = map[string]any{"gjson": path}
		}
	}
	out["trialTemplate"] = t
}

// configMap is the job in a ConfigMap, where that comes too and its job is one to convert; otherwise the ConfigMap is named.
func (s *search) configMap(from *fields, t map[string]any) map[string]any {
	if !from.given {
		return nil
	}
	name, namespace, key := from.text("configMapName"), from.text("configMapNamespace"), from.text("templatePath")
	if trial, err := jobOf(s.converter.stored(name, namespace, key)); err == nil && trial != nil {
		if _, known := find(trial); known {
			s.note(from.path, "the job of the ConfigMap %s is converted, and stands in the template", name)
			return trial
		}
	}
	t["configMap"] = map[string]any{"name": name, "key": key}
	if namespace != "" && namespace != s.metadata["namespace"] {
		s.lost("spec.trialTemplate.configMap.configMapNamespace", "the ConfigMap must be in the namespace of the Experiment: copy it from %s", namespace)
	}
	return nil
}

// stored is what a ConfigMap that comes with the objects has under a key.
func (c Converter) stored(name, namespace, key string) string {
	for _, o := range c.objects {
		meta, _ := o["metadata"].(map[string]any)
		data, _ := o["data"].(map[string]any)
		if o["kind"] == "ConfigMap" && meta["name"] == name && (meta["namespace"] == nil || meta["namespace"] == namespace) {
			text, _ := data[key].(string)
			return text
		}
	}
	return ""
}

// jobOf reads a job; nil where there is none.
func jobOf(text string) (job map[string]any, err error) {
	content, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		return nil, err
	}
	return job, kjson.Unmarshal(content, &job)
}

// goTemplate is the job of a template of v1alpha3, which is filled in with places for the parameters of a trial.
func (s *search) goTemplate(from *fields, out map[string]any) map[string]any {
	text, at := from.text("rawTemplate"), from.object("templateSpec")
	if at.given {
		text = s.converter.stored(at.text("configMapName"), at.text("configMapNamespace"), at.text("templatePath"))
	}
	type parameter struct{ Name, Value string }
	var all []parameter
	for _, place := range s.places(out)[2:] {
		p, _ := place.(map[string]any)
		all = append(all, parameter{number(p["source"]), "${trialParameters." + number(p["name"]) + "}"})
	}
	var filled bytes.Buffer
	parsed, err := template.New("").Parse(text)
	if err == nil {
		err = parsed.Execute(&filled, map[string]any{
			"Trial": "${trialParameters.trial}", "NameSpace": "${trialParameters.namespace}", "Experiment": s.name(), "HyperParameters": all,
		})
	}
	trial, unread := jobOf(filled.String())
	if err = cmp.Or(err, unread); err != nil || trial == nil {
		s.fail(from.path, "the template cannot be read (%v): put its ConfigMap into the same input, or write it as trialSpec", err)
	}
	return trial
}

// places are the parameters of the job of such a template: name and namespace of the trial, and what is searched.
func (s *search) places(out map[string]any) []any {
	list := []any{map[string]any{"name": "trial", "source": "${trialSpec.Name}"}, map[string]any{"name": "namespace", "source": "${trialSpec.Namespace}"}}
	for _, one := range items(out["parameters"]) {
		p, _ := one.(map[string]any)
		list = append(list, map[string]any{"name": p["name"], "source": p["name"]})
	}
	return list
}

// roleLabels are the labels of the training operators, and what they are of the pods of a TrainingJob.
var roleLabels = map[string]string{"training.kubeflow.org/replica-type": "millrace.dev/role", "training.kubeflow.org/job-role": "millrace.dev/role", "training.kubeflow.org/replica-index": "millrace.dev/index"}

// job converts the job of a trial, where it is one of the training operators, into a TrainingJob.
func (s *search) job(trial, labels map[string]any) (job, primary map[string]any) {
	meta, _ := trial["metadata"].(map[string]any)
	for _, key := range []string{"name", "generateName", "namespace"} {
		if meta[key] != nil {
			delete(meta, key)
			s.note("spec.trialTemplate.trialSpec.metadata."+key, "it is the trial's")
		}
	}
	if len(meta) == 0 {
		delete(trial, "metadata")
	}
	if _, known := find(trial); !known {
		return trial, labels
	}
	named := runtime.DeepCopyJSON(trial)
	meta, _ = named["metadata"].(map[string]any)
	if meta == nil {
		meta = map[string]any{}
		named["metadata"] = meta
	}
	meta["name"] = "trial"
	result, err := s.converter.Convert(named)
	if err != nil || len(result.Objects) != 1 {
		s.lost("spec.trialTemplate.trialSpec", "it stays as it is, and needs the operator of its kind: %v", err)
		return trial, labels
	}
	for _, r := range result.Remarks {
		r.Path = "spec.trialTemplate.trialSpec." + r.Path
		s.remarks = append(s.remarks, r)
	}
	job = result.Objects[0]
	if metadata, ok := job["metadata"].(map[string]any); ok {
		delete(metadata, "name")
		if len(metadata) == 0 {
			delete(job, "metadata")
		}
	}
	primary = map[string]any{}
	for key, value := range labels {
		primary[cmp.Or(roleLabels[key], key)] = value
	}
	return job, primary
}
