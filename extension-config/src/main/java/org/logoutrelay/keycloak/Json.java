package org.logoutrelay.keycloak;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

import org.keycloak.util.JsonSerialization;

/** JSON as our columns and Keycloak's admin events hold it. Text that is none is a fault, and throws. */
final class Json {
    private Json() {
    }

    static String write(Object value) {
        try {
            return JsonSerialization.writeValueAsString(value);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    static <T> T read(String json, Class<T> type) {
        try {
            return JsonSerialization.readValue(json, type);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @SuppressWarnings("unchecked")
    static Map<String, Object> object(String json) {
        return read(json, Map.class);
    }

    static List<?> list(String json) {
        return read(json, List.class);
    }

    static List<String> texts(String json) {
        return Arrays.asList(read(json, String[].class));
    }
}
