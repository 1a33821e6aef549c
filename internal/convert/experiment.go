// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// experimentVersions are the versions of Katib's Experiments, of which the old one differs by its trial template.
var experimentVersions = []string{"kubeflow.org/v1beta1", "kubeflow.org/v1alpha3"}

// isExperiment is true of an Experiment of Katib.
func isExperiment(object map[string]any) bool {
	version, _ := object["apiVersion"].(string)
	return object["kind"] == "Experiment" && slices.Contains(experimentVersions, version)
}

// experiment converts an Experiment of Katib.
func (c Converter) experiment(object map[string]any) (Result, error) {
	log := &log{target: "Experiment"}
	run := &search{conversion: conversion{log: log, runtimes: c.runtimes, top: log.open("", runtime.DeepCopyJSON(object))}, converter: c}
	run.top.drop("apiVersion", "kind", "status")
	run.meta()
	spec := run.top.object("spec")
	if !spec.given {
		return Result{}, &Fault{"spec", "Required value"}
	}
	out := map[string]any{}
	for _, step := range []func(*search, *fields, map[string]any){
		(*search).nas, (*search).objectives, (*search).algorithm, (*search).budget, (*search).parameters, (*search).resource, (*search).collector, (*search).template,
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

// searches are the algorithms of Katib that Millrace has too.
var searches = []string{"random", "grid", "tpe", "multivariate-tpe", "bayesianoptimization", "hyperband", "cmaes", "sobol", "pbt"}

// algorithms are names of older versions.
var algorithms = map[string]string{"skopt-bayesian-optimization": "bayesianoptimization", "skopt_bayesian_optimization": "bayesianoptimization"}

// otherwise are settings that mean nothing here.
var otherwise = map[string]string{
	"base_estimator=RF": model, "base_estimator=ET": model, "base_estimator=GBRT": model, "acq_func=EIps": pace, "acq_func=PIps": pace,
}

const (
	model = "the model is a Gaussian process, GP"
	pace  = "how long a trial took is not weighed"
)

func (s *search) algorithm(spec *fields, out map[string]any) {
	for key, target := range map[string]string{"algorithm": "algorithm", "earlyStopping": "earlyStopping"} {
		from := spec.object(key)
		if !from.given {
			continue
		}
		a := map[string]any{}
		name := from.text("algorithmName")
		put(a, "name", cmp.Or(algorithms[name], name))
		var settings []any
		for _, setting := range from.objects("algorithmSettings") {
			name, value := setting.text("name"), number(setting.take("value"))
			if why := otherwise[name+"="+value]; why != "" {
				s.lost(setting.path, "%s: %s: %s", name, value, why)
				continue
			}
			settings = append(settings, map[string]any{"name": name, "value": value})
		}
		put(a, "settings", settings)
		out[target] = a
	}
	chosen, _ := out["algorithm"].(map[string]any)
	if name, _ := chosen["name"].(string); name == "" {
		s.fail("spec.algorithm", "Required value")
	} else if !slices.Contains(searches, name) {
		s.fail("spec.algorithm.algorithmName", "Millrace has no algorithm %s: it has %s", name, strings.Join(searches, ", "))
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

var distributions = map[string]string{"uniform": "Uniform", "logUniform": "LogUniform", "normal": "Normal", "logNormal": "LogNormal", "unknown": "Uniform"}

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
		if p["min"] != nil && p["min"] == p["max"] {
			p = map[string]any{"name": p["name"], "type": "Discrete", "values": []any{p["min"]}}
		}
		list = append(list, p)
	}
	out["parameters"] = list
	if len(list) == 0 {
		s.fail("spec.parameters", "Required value")
	}
}

// resource lets the parameter that Hyperband deals out be as large as Katib makes it, whatever its own bounds are.
func (s *search) resource(_ *fields, out map[string]any) {
	algorithm, _ := out["algorithm"].(map[string]any)
	set := map[string]string{}
	for _, one := range items(algorithm["settings"]) {
		setting, _ := one.(map[string]any)
		set[number(setting["name"])] = number(setting["value"])
	}
	most, err := strconv.ParseFloat(set["r_l"], 64)
	parameters, _ := out["parameters"].([]any)
	i := slices.IndexFunc(parameters, called(set["resource_name"]))
	if algorithm["name"] != "hyperband" || err != nil || i < 0 {
		return
	}
	p, _ := parameters[i].(map[string]any)
	bound, err := strconv.ParseFloat(number(p["max"]), 64)
	if err == nil && bound >= most {
		return
	}
	s.note(fmt.Sprintf("spec.parameters[%d].feasibleSpace", i), "it is what Hyperband deals out, from 1 to r_l: its own bounds meant nothing")
	parameters[i] = map[string]any{"name": p["name"], "type": "Int", "min": "1", "max": number(math.Ceil(most))}
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
