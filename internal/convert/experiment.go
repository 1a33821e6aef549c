// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// isExperiment is true of an Experiment of Katib.
func isExperiment(object map[string]any) bool {
	return object["kind"] == "Experiment" && object["apiVersion"] == "kubeflow.org/v1beta1"
}

// experiment converts an Experiment of Katib.
func (c Converter) experiment(object map[string]any) (Result, error) {
	log := &log{}
	run := &search{conversion: conversion{log: log, runtimes: c.runtimes, top: log.open("", runtime.DeepCopyJSON(object))}, converter: c}
	run.top.drop("apiVersion", "kind", "status")
	run.meta()
	spec := run.top.object("spec")
	if !spec.given {
		return Result{}, &Fault{"spec", "Required value"}
	}
	out := map[string]any{}
	for _, step := range []func(*search, *fields, map[string]any){
		(*search).nas, (*search).objectives, (*search).algorithm, (*search).budget, (*search).parameters, (*search).collector, (*search).template,
	} {
		step(run, spec, out)
		if log.fault != nil {
			return Result{}, log.fault
		}
	}
	log.leftovers()
	made := map[string]any{"apiVersion": v1alpha1.GroupVersion.String(), "kind": "Experiment", "metadata": run.metadata, "spec": out}
	return Result{Objects: []map[string]any{made}, Remarks: log.sorted()}, nil
}

// search is an Experiment on its way.
type search struct {
	conversion
	converter Converter
}

// put writes what is not empty.
func put(out map[string]any, key string, value any) {
	switch v := value.(type) {
	case string:
		if v == "" {
			return
		}
	case []any:
		if len(v) == 0 {
			return
		}
	case map[string]any:
		if len(v) == 0 {
			return
		}
	}
	out[key] = value
}

// nas refuses what searches an architecture: that needs a service of its own that trains a network to propose networks.
func (s *search) nas(spec *fields, _ map[string]any) {
	name := ""
	if algorithm, ok := spec.left["algorithm"].(map[string]any); ok {
		name, _ = algorithm["algorithmName"].(string)
	}
	if name == "enas" || name == "darts" || spec.has("nasConfig") {
		s.fail("spec.nasConfig", "Millrace does not search for network architectures (algorithm %s): describe the choices as parameters, "+
			"such as type Categorical, and use TPE or BayesianOptimization", name)
	}
}

var directions = map[string]string{"minimize": "Minimize", "maximize": "Maximize"}

var strategies = map[string]string{"min": "Min", "max": "Max", "latest": "Latest"}

func (s *search) objectives(spec *fields, out map[string]any) {
	from := spec.object("objective")
	o := map[string]any{}
	put(o, "metric", from.text("objectiveMetricName"))
	put(o, "direction", from.word("type", directions))
	if goal := from.take("goal"); goal != nil {
		o["goal"] = number(goal)
	}
	chosen := map[string]string{}
	for _, strategy := range from.objects("metricStrategies") {
		chosen[strategy.text("name")] = strategy.word("value", strategies)
	}
	metric, _ := o["metric"].(string)
	put(o, "strategy", chosen[metric])
	out["objectives"] = []any{o}
	// Katib judges all metrics by what is wanted of the objective.
	fallback := map[any]string{"Minimize": "Min", "Maximize": "Max"}[o["direction"]]
	var metrics []any
	for _, name := range from.list("additionalMetricNames") {
		text, _ := name.(string)
		m := map[string]any{"name": name}
		put(m, "strategy", cmp.Or(chosen[text], fallback))
		metrics = append(metrics, m)
	}
	put(out, "metrics", metrics)
}

// number writes a number as text.
func number(value any) string {
	if f, ok := value.(float64); ok {
		return strings.TrimSuffix(fmt.Sprintf("%v", f), ".0")
	}
	return fmt.Sprint(value)
}

func (s *search) algorithm(spec *fields, out map[string]any) {
	for key, target := range map[string]string{"algorithm": "algorithm", "earlyStopping": "earlyStopping"} {
		from := spec.object(key)
		if !from.given {
			continue
		}
		a := map[string]any{}
		put(a, "name", from.text("algorithmName"))
		var settings []any
		for _, setting := range from.objects("algorithmSettings") {
			settings = append(settings, map[string]any{"name": setting.text("name"), "value": number(setting.take("value"))})
		}
		put(a, "settings", settings)
		out[target] = a
	}
	if out["algorithm"] == nil {
		s.fail("spec.algorithm", "Required value")
	}
}

var resumes = map[string]string{"Never": "Never", "LongRunning": "WhenRaised", "FromVolume": "WhenRaised"}

func (s *search) budget(spec *fields, out map[string]any) {
	for theirs, ours := range map[string]string{"parallelTrialCount": "parallelTrials", "maxTrialCount": "maxTrials"} {
		if n := spec.number(theirs); n != nil {
			out[ours] = int64(*n)
		}
	}
	if n := spec.number("maxFailedTrialCount"); n != nil {
		out["maxFailedTrials"] = int64(max(*n-1, 0))
		if *n > 0 {
			s.note("spec.maxFailedTrialCount", "%d: Katib fails with that failure, Millrace with the first one beyond its number", *n)
		}
	}
	policy := spec.word("resumePolicy", resumes)
	out["resume"] = cmp.Or(policy, "Never")
	if policy == "WhenRaised" {
		s.note("spec.resumePolicy", "the state of a search is its trials: there is no volume and no pod to keep")
	}
}

var parameterTypes = map[string]string{"double": "Double", "int": "Int", "discrete": "Discrete", "categorical": "Categorical"}

var distributions = map[string]string{"uniform": "Uniform", "logUniform": "LogUniform", "normal": "Normal", "logNormal": "LogNormal"}

func (s *search) parameters(spec *fields, out map[string]any) {
	var list []any
	for _, from := range spec.objects("parameters") {
		p := map[string]any{}
		put(p, "name", from.text("name"))
		put(p, "type", from.word("parameterType", parameterTypes))
		space := from.object("feasibleSpace")
		for _, key := range []string{"min", "max", "step"} {
			if value := space.take(key); value != nil {
				put(p, key, strings.TrimSpace(number(value)))
			}
		}
		if distribution := space.word("distribution", distributions); distribution != "" && distribution != "Uniform" {
			p["distribution"] = distribution
		}
		var values []any
		for _, value := range space.list("list") {
			values = append(values, number(value))
		}
		put(p, "values", values)
		list = append(list, p)
	}
	out["parameters"] = list
	if len(list) == 0 {
		s.fail("spec.parameters", "Required value")
	}
}

// collectors are the kinds of collectors. None is what Push was called once.
var collectors = map[string]string{
	"StdOut": "StdOut", "File": "File", "TensorFlowEvent": "TensorBoard", "PrometheusMetric": "Prometheus", "Push": "Push", "None": "Push", "Custom": "Custom",
}

// paths are where Katib looks when a collector names no path.
var paths = map[string]string{"File": "/var/log/katib/metrics.log", "TensorBoard": "/var/log/katib/tfevent/"}

func (s *search) collector(spec *fields, out map[string]any) {
	from := spec.object("metricsCollectorSpec")
	if !from.given {
		return
	}
	c := map[string]any{}
	collector, source := from.object("collector"), from.object("source")
	kind := cmp.Or(collector.word("kind", collectors), "StdOut")
	files, endpoint, filter := source.object("fileSystemPath"), source.object("httpGet"), source.object("filter")
	path, format := cmp.Or(files.text("path"), endpoint.text("path")), files.text("format")
	files.drop("kind")
	endpoint.drop("scheme", "host")
	if kind == "Custom" {
		kind = map[bool]string{true: "File", false: "Push"}[path != ""]
		collector.lose("customCollector", "a container that speaks to Katib's database; metrics are read from %s instead: see docs/trial.md", kind)
	}
	c["kind"] = kind
	if cmp.Or(path, paths[kind]) != "" && kind != "StdOut" && kind != "Push" {
		c["path"] = cmp.Or(path, paths[kind])
	}
	if format == "JSON" {
		c["format"] = format
	}
	if n, ok := whole(endpoint.take("port")); ok && kind == "Prometheus" {
		c["port"] = n
	}
	put(c, "filters", filter.list("metricsFormat"))
	out["metricsCollector"] = c
}

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
	if trial := from.plain("trialSpec"); trial != nil {
		t["job"], labels = s.job(trial, labels)
	}
	s.configMap(from.object("configMap"), t)
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

func (s *search) configMap(from *fields, t map[string]any) {
	if !from.given {
		return
	}
	t["configMap"] = map[string]any{"name": from.text("configMapName"), "key": from.text("templatePath")}
	if namespace := from.text("configMapNamespace"); namespace != "" && namespace != s.metadata["namespace"] {
		s.lost("spec.trialTemplate.configMap.configMapNamespace", "the ConfigMap must be in the namespace of the Experiment: copy it from %s", namespace)
	}
}

// roleLabels are the labels of the training operators, and what they are of the pods of a TrainingJob.
var roleLabels = map[string]string{"training.kubeflow.org/replica-type": "millrace.dev/role", "training.kubeflow.org/job-role": "millrace.dev/role", "training.kubeflow.org/replica-index": "millrace.dev/index"}

// job converts the job of a trial, where it is one of the training operators, into a TrainingJob.
func (s *search) job(trial, labels map[string]any) (job, primary map[string]any) {
	if _, known := find(trial); !known {
		return trial, labels
	}
	named := runtime.DeepCopyJSON(trial)
	meta, _ := named["metadata"].(map[string]any)
	if meta == nil {
		meta = map[string]any{}
		named["metadata"] = meta
	}
	meta["name"] = "trial"
	result, err := s.converter.Convert(named)
	if err != nil || len(result.Objects) != 1 {
		s.note("spec.trialTemplate.trialSpec", "it stays as it is, and needs the operator of its kind: %v", err)
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
