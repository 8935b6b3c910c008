export function TryCard() {
  return null;
}
