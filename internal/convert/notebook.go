// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
)

// Annotations of Kubeflow's Notebooks that say what fields say here.
const (
	serverType = "notebooks.kubeflow.org/server-type"
	rewriteURI = "notebooks.kubeflow.org/http-rewrite-uri"
	setHeaders = "notebooks.kubeflow.org/http-headers-request-set"
)

// longestNotebook is the most characters of a Notebook's name, which is that of a StatefulSet.
const longestNotebook = 52

// notebookNoise are annotations by which Kubeflow's controller remembers what it has seen.
var notebookNoise = []string{"notebooks.kubeflow.org/last-activity", "notebooks.kubeflow.org/last_activity_check_timestamp"}

// servers are the kinds of servers by Kubeflow's words for its groups of images.
var servers = map[string]v1alpha1.NotebookServer{"jupyter": v1alpha1.Jupyter, "group-one": v1alpha1.VSCode, "group-two": v1alpha1.RStudio}

// notebookSpec takes over the template. What annotations say of the route and of the kind of server becomes fields.
func notebookSpec(c *conversion, spec *fields) map[string]any {
	made := map[string]any{}
	template := spec.plain("template")
	if template == nil {
		c.fail("spec.template", "Required value")
		return made
	}
	c.prune(template, "spec.template")
	made["template"] = template
	pod, _ := template["spec"].(map[string]any)
	at := &fields{log: c.log, path: "spec.template.spec", left: pod}
	if policy := at.text("restartPolicy"); policy != "" && policy != "Always" {
		c.lost(at.at("restartPolicy"), "a notebook's pod is started again always")
	}
	at.lose("hostname", "the pod is named by its StatefulSet")
	at.lose("subdomain", "the pod is named by its StatefulSet")
	c.prefix(pod)
	c.annotated(made)
	if len(c.name()) > longestNotebook {
		c.lost("metadata.name", "a StatefulSet's name has at most 52 characters: choose another; the address changes with it")
	}
	c.note("spec", "it is stopped after 24 hours without use unless the manager's configuration or spec.culling says otherwise, and a change of it waits for the next start")
	return made
}

// prefix removes the variable that is Millrace's to set.
func (c *conversion) prefix(pod map[string]any) {
	containers := containersOf(pod)
	if len(containers) == 0 {
		return
	}
	env, _ := containers[0]["env"].([]any)
	i := slices.IndexFunc(env, called("NB_PREFIX"))
	if i < 0 {
		return
	}
	namespace, _ := c.metadata["namespace"].(string)
	given, _ := env[i].(map[string]any)
	remark := c.lost
	if given["value"] == names.NotebookPath(namespace, c.name()) {
		remark = c.note
	}
	remark("spec.template.spec.containers[0].env", "NB_PREFIX is the path of the address, and Millrace sets it")
	if env = slices.Delete(env, i, i+1); len(env) == 0 {
		delete(containers[0], "env")
		return
	}
	containers[0]["env"] = env
}

// annotated turns annotations into fields.
func (c *conversion) annotated(made map[string]any) {
	annotations, _ := c.metadata["annotations"].(map[string]any)
	for _, key := range notebookNoise {
		delete(annotations, key)
	}
	take := func(key string) string {
		text, _ := annotations[key].(string)
		delete(annotations, key)
		return text
	}
	if word := take(serverType); word != "" {
		server, known := servers[word]
		if !known {
			c.lost("metadata.annotations", "%s: %s is none of jupyter, group-one and group-two: set spec.server", serverType, word)
		} else if server != v1alpha1.Jupyter {
			made["server"] = string(server)
		}
	}
	route := map[string]any{}
	if uri := take(rewriteURI); uri != "" {
		route["rewrite"] = uri
	}
	if headers := c.headers(take(setHeaders)); headers != nil {
		route["requestHeaders"] = headers
	}
	if len(route) > 0 {
		made["route"] = route
	}
	if len(annotations) == 0 {
		delete(c.metadata, "annotations")
	}
}

// headers are those of an annotation, by name.
func (c *conversion) headers(text string) []any {
	if text == "" {
		return nil
	}
	var set map[string]string
	if json.Unmarshal([]byte(text), &set) != nil {
		c.lost("metadata.annotations", "%s is not a map in JSON, and the original ignores it too", setHeaders)
		return nil
	}
	var all []any
	for _, name := range slices.Sorted(maps.Keys(set)) {
		all = append(all, map[string]any{"name": name, "value": set[name]})
	}
	return all
}
