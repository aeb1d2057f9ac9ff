package org.logoutrelay.keycloak.base;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

import org.keycloak.util.JsonSerialization;

/** JSON as our columns and Keycloak's admin events hold it. Text that is none is a fault, and throws. */
public final class Json {
    private Json() {
    }

    public static String write(Object value) {
        try {
            return JsonSerialization.writeValueAsString(value);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    public static <T> T read(String json, Class<T> type) {
        try {
            return JsonSerialization.readValue(json, type);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @SuppressWarnings("unchecked")
    public static Map<String, Object> object(String json) {
        return read(json, Map.class);
    }

    public static List<?> list(String json) {
        return read(json, List.class);
    }

    public static List<String> texts(String json) {
        return Arrays.asList(read(json, String[].class));
    }
}
