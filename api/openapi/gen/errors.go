package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"ledger.internal/ledger/internal/adapters/rpc"
)

// errorSchemas describe how an error looks in JSON.
func errorSchemas(reasons []rpc.Reason) object {
	var names []any
	for _, r := range reasons {
		if len(r.Answers) > 0 {
			names = append(names, r.Name)
		}
	}
	text := func(description string) object { return object{"type": "string", "description": description} }
	detail := func(name, description string, properties object) object {
		properties["@type"] = object{"type": "string", "const": "type.googleapis.com/google.rpc." + name}
		return object{"type": "object", "description": description, "properties": properties, "required": []any{"@type"}}
	}
	ref := func(name string) object { return object{"$ref": "#/components/schemas/google.rpc." + name} }
	return object{
		"google.rpc.Status": object{
			"type": "object", "description": "How every error looks.", "required": []any{"code", "message"},
			"properties": object{
				"code":    object{"type": "integer", "format": "int32", "description": "The number of google.rpc.Code."},
				"message": text("For people; it may change."),
				"details": object{"type": "array", "description": "One ErrorInfo; a BadRequest if a field is wrong, a RetryInfo if repeating helps.",
					"items": object{"oneOf": []any{ref("ErrorInfo"), ref("BadRequest"), ref("RetryInfo")}}},
			},
		},
		"google.rpc.ErrorInfo": detail("ErrorInfo", "Why, for programs.", object{
			"reason":   object{"type": "string", "description": "One of the list of errors; a new version may add others.", "examples": names},
			"domain":   object{"type": "string", "const": "ledger"},
			"metadata": object{"type": "object", "description": "Details of the reason.", "additionalProperties": object{"type": "string"}},
		}),
		"google.rpc.BadRequest": detail("BadRequest", "Which field is wrong.", object{
			"field_violations": object{"type": "array", "items": object{"type": "object", "properties": object{
				"field":       text("The field's path: `start.terms.period`."),
				"reason":      text("As in ErrorInfo."),
				"description": text("For people; it may change."),
			}}},
		}),
		"google.rpc.RetryInfo": detail("RetryInfo", "How long to wait before the same request is sent again.", object{
			"retry_delay": object{"type": "string", "examples": []any{"1s"}},
		}),
	}
}

// statusMeanings are the statuses of refusals that a caller should know.
var statusMeanings = map[string]string{
	"400": "The request is wrong, or does not fit the state of things.",
	"404": "There is no such thing, or not for this merchant.",
	"409": "It exists already, or others changed it at the same time.",
	"413": "The request is too large.",
	"415": "The body is not plain JSON.",
	"429": "A limit is reached.",
	"500": "A fault of the ledger.",
	"503": "Not now. Send the request again with the same Idempotency-Key.",
}

// errorResponses are the refusals by HTTP status, with the reasons that each can have.
func errorResponses(reasons []rpc.Reason) object {
	content := object{"application/json": object{"schema": object{"$ref": "#/components/schemas/google.rpc.Status"}}}
	all := object{"default": object{"description": "Any other refusal looks the same.", "content": content}}
	for status, meaning := range statusMeanings {
		code, _ := strconv.Atoi(status)
		names, again := reasonsOf(code, reasons)
		response := object{
			"description": fmt.Sprintf("%s: %s Reasons: %s.", http.StatusText(code), meaning, strings.Join(names, ", ")),
			"content":     content,
		}
		if again {
			response["headers"] = object{"Retry-After": object{
				"description": "Seconds to wait, where repeating helps.", "schema": object{"type": "integer"},
			}}
		}
		all[status] = response
	}
	all["400"].(object)["content"] = object{"application/json": object{
		"schema": object{"$ref": "#/components/schemas/google.rpc.Status"}, "example": json.RawMessage(refusal),
	}}
	return all
}

// reasonsOf are the reasons of a status, and whether repeating helps with one of them.
func reasonsOf(status int, reasons []rpc.Reason) (names []string, again bool) {
	for _, r := range reasons {
		for _, a := range r.Answers {
			if a.HTTP == status {
				names = append(names, r.Name)
				again = again || r.Retryable
			}
		}
	}
	return names, again
}

// refusal is an example of an error.
const refusal = `{
  "code": 3,
  "message": "start.terms.period: say how far apart the payments are",
  "details": [
    {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "PERIOD_REQUIRED", "domain": "ledger", "metadata": {}},
    {"@type": "type.googleapis.com/google.rpc.BadRequest", "field_violations": [
      {"field": "start.terms.period", "description": "say how far apart the payments are", "reason": "PERIOD_REQUIRED"}
    ]}
  ]
}`
